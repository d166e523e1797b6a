"""Answers blueprints with the parser of PyPI's cloudify-common, one JSON line for each line read.

A request is {"files": {name: text}, "main": name, "types": text, "inputs": {...}|null}; `types` stands
for cloudify/types/types.yaml. The answer is {"plan": ..., "seconds": ...} or {"class": ..., "code": ...}.
"""
import datetime
import json
import sys
import time

from dsl_parser import exceptions, parser, tasks
from dsl_parser.import_resolver.abstract_import_resolver import AbstractImportResolver

TYPES = 'cloudify/types/types.yaml'


class Files(AbstractImportResolver):
    def __init__(self, request):
        self.files = dict(request['files'])
        self.files[TYPES] = request['types']

    def resolve(self, import_url):
        return self.fetch_import(import_url)

    def fetch_import(self, import_url, **kwargs):
        name = import_url
        for prefix in ('resource:', 'file:', './'):
            if name.startswith(prefix):
                name = name[len(prefix):]
        if name in self.files:
            return self.files[name]
        raise exceptions.DSLParsingLogicException(13, 'no such import: ' + import_url)

    def retrieve_plugin(self, import_url, **kwargs):
        return None


def plain(value):
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    return str(value)


def answer(request):
    begin = time.perf_counter()
    try:
        plan = parser.parse(request['files'][request['main']], resolver=Files(request))
        if request.get('inputs') is not None:
            plan = tasks.prepare_deployment_plan(plan, lambda name: 'secret', request['inputs'])
        seconds = time.perf_counter() - begin
        return {'plan': plan, 'seconds': seconds}
    except exceptions.DSLParsingException as error:
        return {'class': type(error).__name__, 'code': getattr(error, 'err_code', None), 'message': str(error)}
    except Exception as error:
        return {'class': type(error).__name__, 'code': None, 'message': str(error)}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line)), default=plain), flush=True)
