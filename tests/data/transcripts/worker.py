"""Sends the recorded conversation of a command line and a worker to a running manager: as the worker does,
with the tokens of executions.

    worker.py URL RECORDINGS DEMO KNOWN

The manager must not run executions itself. Whoever starts this gives tokens: `token ID` on the standard
output asks for that of an execution, the answer is a line on the standard input. Compared, and reported, is
what replay.py compares.
"""
import json
import os
import sys
import threading
import time
import urllib.parse

from replay import Manager, body_of, compared, told

NAMES = ['upload_blueprint', 'create_deployment', 'install', 'execute_operation', 'uninstall',
         'delete_deployment', 'delete_blueprint']
UUID_LENGTH = 36


class Worker:
    def __init__(self, manager, demo):
        self.manager, self.demo = manager, demo
        self.learned, self.tokens = {}, {}
        self.found = []

    def execution(self, exchange):
        """The execution that a worker asks for first, which was made by a request that may not be answered yet."""
        recorded = exchange['resp_body']
        query = urllib.parse.urlencode({
            '_include_system_workflows': True, 'workflow_id': recorded['workflow_id'], 'status': 'pending'})
        for _ in range(600):
            status, body = self.manager.ask('GET', '/api/v3.1/executions?' + query)
            waiting = json.loads(body)['items'] if status == 200 else []
            if waiting:
                break
            time.sleep(0.1)
        else:
            raise LookupError(f'no execution of {recorded["workflow_id"]} was made')
        self.learned[recorded['id']] = waiting[0]['id']
        print('token', waiting[0]['id'], flush=True)
        recorded_token = exchange['req_headers']['Execution-Token']
        self.tokens[recorded_token] = sys.stdin.readline().strip()

    def own_token(self, exchange):
        """A worker's process has a token of its own, which it returns."""
        body = json.dumps({'description': 'of a worker'}).encode()
        status, answer = self.manager.ask('POST', '/api/v3.1/tokens', {'Content-Type': 'application/json'}, body)
        assert status == 200, (status, answer)
        token = json.loads(answer)
        self.learned[exchange['path'].rsplit('/', 1)[1]] = token['id']
        return token['value']

    def prepare(self, exchange):
        """The headers of a request."""
        sent = exchange['req_headers']
        headers = {'Content-Type': 'application/json'}
        if 'Tenant' in sent:
            headers['Tenant'] = sent['Tenant']
        if 'Execution-Token' in sent:
            if sent['Execution-Token'] not in self.tokens:
                self.execution(exchange)
            headers['Execution-Token'] = self.tokens[sent['Execution-Token']]
        elif 'Authentication-Token' in sent:
            headers['Authentication-Token'] = self.own_token(exchange)
        return headers

    def exchange(self, name, number, exchange):
        headers = self.prepare(exchange)
        learned = self.learned
        path = '/'.join(learned.get(part, part) for part in exchange['path'].split('/'))
        query = [(k, learned.get(v, v)) for k, v in exchange.get('query') or []]
        if query:
            path += '?' + urllib.parse.urlencode(query)
        body, content_type = body_of(exchange, learned, self.demo)
        if content_type:
            headers['Content-Type'] = content_type
        answer = self.manager.ask(exchange['method'], path, headers, body)
        found = {}
        differing = compared(exchange, path, answer, found)
        # node instances are named by the worker
        self.learned.update((one, other) for one, other in found.items()
                            if len(one) == UUID_LENGTH and one not in self.learned)
        for difference in [*differing, *versions(exchange, answer)]:
            self.found.append((name, number, difference, exchange))


def versions(exchange, answer):
    """Workers send back the versions they have read."""
    recorded, (status, body) = exchange.get('resp_body'), answer
    if status == exchange['status'] and isinstance(recorded, dict) and 'runtime_properties' in recorded:
        version = json.loads(body)['version']
        if recorded['version'] != version:
            yield f'version: {recorded["version"]} was recorded, {version} answered'


def conversation(recordings, name):
    """What both sides said, in its order."""
    both = []
    for side in ('_cli', ''):
        file = f'mw_{name}{side}'
        path = os.path.join(recordings, file + '.jsonl')
        if os.path.exists(path):
            with open(path) as lines:
                both.extend((file, number, json.loads(line)) for number, line in enumerate(lines))
    return sorted(both, key=lambda said: said[2]['t'])


def main():
    url, recordings, demo, known = sys.argv[1:]
    worker, count, waiting = Worker(Manager(url), demo), 0, []
    for name in NAMES:
        for said in conversation(recordings, name):
            count += 1
            # what takes long waits for its execution, which the rest of the conversation is about
            if said[2]['ms'] > 1500:
                waiting.append(threading.Thread(target=worker.exchange, args=said))
                waiting[-1].start()
                continue
            try:
                worker.exchange(*said)
            except LookupError as error:
                worker.found.append((*said[:2], f'execution: {error}', said[2]))
                break
        for thread in waiting:
            thread.join()
        waiting = []
    is_good = told(worker.found, known, lambda name: name.startswith('mw_'))
    print(f'{count} exchanges')
    sys.exit(0 if is_good else 1)


main()
