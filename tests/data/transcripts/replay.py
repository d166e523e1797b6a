"""Sends recorded requests of the real command line to a running manager and compares the answers.

    replay.py URL RECORDINGS DEMO KNOWN [NAME...]

RECORDINGS is the folder of recorded exchanges, DEMO that of the blueprint they upload, KNOWN a table of
known differences: recording, number, path, reason. Compared are the status, the error code, and the
fields with their types; identifiers that the manager chose are learned from the answers and put into later
requests. A difference that is not known is printed and makes the exit status 1, and so does a known one
that is none any more.
"""
import base64
import io
import json
import os
import re
import sys
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request

ACTIVE = {'pending', 'started', 'queued', 'cancelling', 'force_cancelling', 'kill_cancelling'}
CHOSEN = re.compile(
    r'^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|.*_[a-z0-9]{6}|[A-Za-z0-9]{10})$')
ORDER = ['profile', 'blueprints', 'deployments', 'executions', 'events', 'nodes', 'secrets', 'plugins',
         'deployment_update', 'delete', 'users_tenants_groups', 'snapshots']
# what a request leads to is waited for before the next one
POLLED = 'executions?_include_system_workflows=true&_include=status&_get_all_results=true'


CREDENTIALS = os.environ.get('STRATALOG_CREDENTIALS', 'admin:admin').encode()


class Manager:
    def __init__(self, url):
        self.url = url

    def ask(self, method, path, headers=None, body=None):
        headers = dict(headers or {})
        headers.setdefault('Authorization', 'Basic ' + base64.b64encode(CREDENTIALS).decode())
        headers.setdefault('Tenant', 'default_tenant')
        request = urllib.request.Request(self.url + path, data=body, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def quiet(self):
        for _ in range(600):
            status, body = self.ask('GET', '/api/v3.1/' + POLLED)
            if status != 200:
                raise RuntimeError(f'executions cannot be listed: {status} {body[:200]}')
            if not any(e['status'] in ACTIVE for e in json.loads(body)['items']):
                return
            time.sleep(0.1)
        raise RuntimeError('executions go on and on')


def substituted(value, learned):
    if isinstance(value, str):
        return learned.get(value, value)
    if isinstance(value, list):
        return [substituted(item, learned) for item in value]
    if isinstance(value, dict):
        return {substituted(k, learned): substituted(v, learned) for k, v in value.items()}
    return value


def learn(recorded, answered, learned):
    """Which identifier of the recording stands for which of this manager."""
    if isinstance(recorded, dict) and isinstance(answered, dict):
        for key in recorded.keys() & answered.keys():
            if key == 'hostname':
                learned.setdefault(recorded[key], answered[key])
            learn(recorded[key], answered[key], learned)
    elif isinstance(recorded, list) and isinstance(answered, list):
        for one, other in zip(recorded, answered):
            learn(one, other, learned)
    elif isinstance(recorded, str) and isinstance(answered, str) and recorded != answered:
        if CHOSEN.match(recorded) and CHOSEN.match(answered):
            learned.setdefault(recorded, answered)


def kind(value):
    if isinstance(value, bool):
        return 'boolean'
    if isinstance(value, (int, float)):
        return 'number'
    return {str: 'string', list: 'list', dict: 'dict', type(None): 'null'}[type(value)]


FREE = {'plan', 'inputs', 'runtime_properties', 'properties', 'parameters', 'value', 'system_properties', 'schema',
        'server_traceback', 'error', 'context', 'result'}


# which kinds of records a page of events holds depends on when it was asked for
OF_ONE_KIND = {'level', 'logger', 'event_type'}


def differences(path, recorded, answered, name=''):
    if recorded is None or answered is None:
        return
    if kind(recorded) != kind(answered):
        yield f'{path}: {kind(recorded)} was recorded, {kind(answered)} answered'
        return
    if isinstance(recorded, dict):
        if name in FREE and name != 'context':
            return
        for key in recorded.keys() - answered.keys():
            if not key.endswith('_p'):
                yield f'{path}.{key}: missing'
        for key in answered.keys() - recorded.keys():
            yield f'{path}.{key}: not in the recording'
        for key in recorded.keys() & answered.keys():
            yield from differences(f'{path}.{key}', recorded[key], answered[key], key)
    elif isinstance(recorded, list) and recorded and answered:
        yield from differences(f'{path}[]', merged(recorded), merged(answered), name)


def merged(items):
    """One item with the fields of all: lists mix kinds of items, and fields that may be absent."""
    if not all(isinstance(item, dict) for item in items):
        return items[0]
    whole = {}
    for item in items:
        for key, value in item.items():
            if whole.get(key) is None:
                whole[key] = value
            elif isinstance(value, dict) and isinstance(whole[key], dict):
                whole[key] = merged([whole[key], value])
            elif isinstance(value, list) and isinstance(whole[key], list):
                whole[key] = whole[key] + value
    return whole


def archive(demo):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode='w:gz') as tar:
        tar.add(demo, arcname='demo')
    return packed.getvalue()


def body_of(exchange, learned, demo):
    """The body to send, and its content type if it is not the recorded one."""
    body = exchange.get('req_body')
    if body is None:
        return None, None
    if isinstance(body, dict) and 'multipart_text' in body:
        text = body['multipart_text']
        params = json.loads(text.split('\r\n\r\n', 1)[1].split('\r\n', 1)[0])
        packed = archive(demo)
        if exchange['path'].endswith('/bad'):
            packed = bad_archive(params['application_file_name'])
        edge = b'recorded-exchange'
        parts = [b'--' + edge, b'Content-Disposition: form-data; name="params"', b'', json.dumps(params).encode(),
                 b'--' + edge, b'Content-Disposition: form-data; name="blueprint_archive"; filename="b.tar.gz"',
                 b'Content-Type: application/octet-stream', b'', packed, b'--' + edge + b'--', b'']
        return b'\r\n'.join(parts), 'multipart/form-data; boundary=' + edge.decode()
    if isinstance(body, dict) and 'base64' in body:
        return base64.b64decode(body['base64']), None
    return json.dumps(substituted(body, learned)).encode(), None


def bad_archive(name):
    packed = io.BytesIO()
    text = b'tosca_definitions_version: cloudify_dsl_1_4\nnode_templates: {a: {type: nosuch}}\n'
    with tarfile.open(fileobj=packed, mode='w:gz') as tar:
        entry = tarfile.TarInfo('bad/' + name)
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    return packed.getvalue()


def replay(manager, name, exchanges, learned, demo):
    for number, exchange in enumerate(exchanges):
        path = '/'.join(learned.get(part, part) for part in exchange['path'].split('/'))
        query = [(k, learned.get(v, v)) for k, v in exchange.get('query') or []]
        # what is polled for has happened by now, so pages begin where they are
        query = [(k, '0' if k == '_offset' and path.endswith('/events') else v) for k, v in query]
        if query:
            path += '?' + urllib.parse.urlencode(query)
        body, content_type = body_of(exchange, learned, demo)
        headers = {'Content-Type': content_type or 'application/json'}
        status, answer = manager.ask(exchange['method'], path, headers, body)
        if exchange['method'] != 'GET':
            manager.quiet()
        for difference in compared(exchange, path, (status, answer), learned):
            yield number, exchange, difference


def compared(exchange, path, answer, learned):
    """How an answer differs from the recorded one."""
    status, body = answer
    if status != exchange['status']:
        return [f'status: {exchange["status"]} was recorded, {status} answered: {body[:200]}']
    recorded = exchange.get('resp_body')
    if not isinstance(recorded, (dict, list)) or 'base64' in recorded:
        return []
    try:
        answered = json.loads(body)
    except ValueError:
        answered = None
    if answered is None:
        return [f'body: no JSON was answered: {body[:100]}']
    learn(recorded, answered, learned)
    if status >= 400:
        codes = recorded.get('error_code'), answered.get('error_code')
        return [] if codes[0] == codes[1] else [f'error_code: {codes[0]} was recorded, {codes[1]} answered']
    found = list(differences('', recorded, answered))
    if path.split('?')[0].endswith('/events'):
        return [f for f in found if f.split(': ')[0].split('.')[-1] not in OF_ONE_KIND]
    return found


def told(found, known, is_asked):
    """Prints what differs and is not known to, and what is known and differs no more; whether there is neither.

    `found` are names of recordings with numbers, differences and exchanges; `known` is the table."""
    expected = set()
    with open(known) as table:
        for line in table:
            if line.strip() and not line.startswith('#'):
                name, number, path, _ = line.rstrip('\n').split('\t')
                expected |= {(name, int(number), path)} if is_asked(name) else set()
    met, unknown = set(), 0
    for name, number, difference, exchange in found:
        key = name, number, difference.split(': ')[0]
        if key in expected:
            met.add(key)
            continue
        unknown += 1
        print(f'{name}\t{number}\t{difference}\t{exchange["method"]} {exchange["path"]}')
    for key in sorted(expected - met):
        print('no difference any more:', *key)
    print(f'{len(met)} known differences, {unknown} unknown')
    return not unknown and expected == met


def main():
    url, recordings, demo, known, *names = sys.argv[1:]
    manager, learned, count = Manager(url), {}, 0
    names = names or ORDER
    found = []
    for name in names:
        with open(os.path.join(recordings, name + '.jsonl')) as lines:
            exchanges = [json.loads(line) for line in lines]
        count += len(exchanges)
        for number, exchange, difference in replay(manager, name, exchanges, learned, demo):
            found.append((name, number, difference, exchange))
    is_good = told(found, known, lambda name: name in names)
    print(f'{count} exchanges')
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
