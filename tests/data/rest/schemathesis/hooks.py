"""Keeps made-up requests from losing their way: most ask in a tenant that exists, and none takes from the
administrator what the following ones need.
"""
import zlib

import schemathesis

# of so many requests one keeps the tenant that was made up for it, or none
STRAY = 16
ADMINISTRATORS = {'username': 'admin', 'role': 'sys_admin'}


@schemathesis.hook
def before_call(context, case, kwargs):
    sent = f'{case.method} {case.formatted_path} {case.query}'
    if zlib.crc32(sent.encode(errors='replace')) % STRAY:
        case.headers = {**(case.headers or {}), 'Tenant': 'default_tenant'}
    position = str((case.headers or {}).get('X-Min-Position', ''))
    if position.isdecimal() and len(position) > 1:
        # it would be waited for
        case.headers['X-Min-Position'] = '1'
    for name, value in ADMINISTRATORS.items():
        if (case.path_parameters or {}).get(name) == value:
            case.path_parameters[name] = 'known'
