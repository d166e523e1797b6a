"""Calls every public method of the client's library on a running manager and compares what comes of it.

    run.py URL KNOWN

The lines of `calls_*.py` are called in order. KNOWN is a table of known differences from what they expect:
line (method#number), reason. Every method of every client has a line, and every line is about a method,
unless it is a plain request that no method sends. For each request that was answered `HIT METHOD PATH` is printed. A difference that is not known is printed and
makes the exit status 1, and so does a known one that is none any more.
"""
import collections
import inspect
import os
import sys
import tempfile
import traceback
import urllib.parse

import requests

import calls_deployments
import calls_executions
import calls_manager
import calls_people
import calls_plain
import calls_resources
from cloudify_rest_client import CloudifyClient
from expected import check
from world import World

# in this order: what one table leaves behind, the next ones use
TABLES = [calls_manager, calls_people, calls_resources, calls_deployments, calls_executions, calls_plain]
LIBRARY = ('cloudify_rest_client', 'cloudify_async_client')


def methods(client, prefix=''):
    """Names of all public methods of a client and of the clients it holds."""
    for name, part in vars(client).items():
        if name.startswith('_') or name == 'api' or not type(part).__module__.startswith(LIBRARY):
            continue
        for method, _ in inspect.getmembers(part, inspect.ismethod):
            if not method.startswith('_'):
                yield f'{prefix}{name}.{method}'
        yield from methods(part, f'{prefix}{name}.')


class Recording(requests.Session):
    """Remembers which requests were answered."""

    def __init__(self):
        super().__init__()
        self.hits = set()

    def request(self, method, url, *args, **kwargs):
        answer = super().request(method, url, *args, **kwargs)
        self.hits.add((method.upper(), urllib.parse.urlsplit(url).path))
        return answer


def connected(url, session):
    where = urllib.parse.urlsplit(url)
    username, _, password = os.environ['STRATALOG_CREDENTIALS'].partition(':')
    return CloudifyClient(
        host=where.hostname, port=where.port, protocol=where.scheme, username=username, password=password,
        tenant='default_tenant', session=session)


def lines():
    """All lines with their names, which say how many the method has had before."""
    seen = collections.Counter()
    for table in TABLES:
        for method, call, expected in table.LINES:
            seen[method] += 1
            yield f'{method}#{seen[method]}', call, expected


def outcome(world, call, expected):
    """What is wrong, if anything."""
    try:
        return check(lambda: call(world), expected)
    except Exception:
        return traceback.format_exc(limit=-3)


def main():
    url, known = sys.argv[1:]
    with open(known) as table:
        rows = [line.rstrip('\n').split('\t') for line in table if line.strip() and not line.startswith('#')]
    reasons = dict(rows)
    session = Recording()
    client = connected(url, session)
    wanted = set(methods(client))
    called, met, unknown, count = set(), set(), [], 0
    with tempfile.TemporaryDirectory() as directory:
        world = World(client, session, directory)
        for name, call, expected in lines():
            method, count = name.split('#')[0], count + 1
            if method != 'plain':
                called.add(method)
            wrong = outcome(world, call, expected)
            if wrong and name in reasons:
                met.add(name)
            elif wrong:
                unknown.append(f'{name}: {wrong}')
    unknown += [f'no line calls {method}' for method in sorted(wanted - called)]
    unknown += [f'there is no method {method}' for method in sorted(called - wanted)]
    unknown += [f'{name}: no difference any more' for name in sorted(reasons.keys() - met)]
    for method, path in sorted(session.hits):
        print('HIT', method, path)
    for line in unknown:
        print(line)
    print(f'{count} calls of {len(called)} methods, {len(met)} known differences, {len(unknown)} unknown')
    sys.exit(1 if unknown else 0)


main()
