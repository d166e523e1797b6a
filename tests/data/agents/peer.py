"""The other end of the wire: an agent, and a requester, made of the library's own AMQP client.

    peer.py agent AMQP_URL NAME WORK_DIR
    peer.py ask AMQP_URL EXCHANGE < BODY

AMQP_URL names the virtual host, too. `agent` takes operations and pings as agents do, has operations run by
`cloudify.dispatch`, and prints a line when it begins to listen. `ask` sends one operation as workflows do
and prints the answer.
"""
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.parse

from cloudify import amqp_client


def client(url):
    parts = urllib.parse.urlparse(url)
    return amqp_client.get_client(
        amqp_host=parts.hostname,
        amqp_port=parts.port,
        amqp_user=urllib.parse.unquote(parts.username),
        amqp_pass=urllib.parse.unquote(parts.password),
        amqp_vhost=urllib.parse.unquote(parts.path[1:]),
        connect_timeout=None,
    )


class Operations(amqp_client.TaskConsumer):
    routing_key = 'operation'

    def __init__(self, name, work_dir):
        super().__init__(name)
        self.name = name
        self.work_dir = work_dir

    def handle_task(self, full_task):
        kwargs = full_task['cloudify_task']['kwargs']
        context = kwargs.pop('__cloudify_context')
        with tempfile.TemporaryDirectory() as run:
            with open(os.path.join(run, 'input.json'), 'w') as file:
                json.dump({'cloudify_context': context, 'args': [], 'kwargs': kwargs}, file)
            environment = dict(
                os.environ,
                AGENT_NAME=self.name,
                AGENT_WORK_DIR=self.work_dir,
                AGENT_LOG_DIR=self.work_dir,
                CLOUDIFY_DISPATCH='true',
                PATH=os.path.dirname(sys.executable) + ':' + os.environ['PATH'],
            )
            command = [sys.executable, '-u', '-m', 'cloudify.dispatch', run]
            subprocess.run(command, env=environment, check=True, stdout=sys.stderr)
            with open(os.path.join(run, 'output.json')) as file:
                output = json.load(file)
        if output['type'] == 'result':
            return {'ok': True, 'result': output['payload']}
        return {'ok': False, 'error': output['payload']}


class Services(amqp_client.TaskConsumer):
    routing_key = 'service'

    def handle_task(self, full_task):
        assert full_task['service_task']['task_name'] == 'ping', full_task
        return {'time': time.time()}


def agent(url, name, work_dir):
    connection = client(url)
    connection.add_handler(Operations(name, work_dir))
    connection.add_handler(Services(name))
    thread = connection.consume_in_thread()
    print('listening', flush=True)
    thread.join()


def ask(url, exchange):
    body = json.load(sys.stdin)
    connection = client(url)
    handler = amqp_client.BlockingRequestResponseHandler(exchange)
    connection.add_handler(handler)
    with connection:
        correlation_id = body['id']
        answer = handler.publish(body, correlation_id, routing_key='operation', timeout=60)
    print(json.dumps(answer))


if __name__ == '__main__':
    {'agent': agent, 'ask': ask}[sys.argv[1]](*sys.argv[2:])
