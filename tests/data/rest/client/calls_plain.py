"""What the client's library never asks for: proxies, probes, updates of stored operations, and what is our own."""
from expected import value

STORED = {'action': 'update-stored', 'deployment_id': 'spring', 'node_id': 'host', 'operation': 'create',
          'key': 'a', 'rel_index': None}


def asked(method, path, status, **more):
    """A request as the administrator, and the status it has."""
    return 'plain', lambda w: w.ask(method, path, **more), value(status)


PROXIED = '/api/v3.1/file-server-proxy/deployments/default_tenant/spring/'

LINES = [
    asked('GET', '/livez', 200),
    asked('GET', '/readyz', 200),
    asked('GET', '/metrics', 200),
    asked('GET', '/openapi.json', 200),
    asked('GET', '/api/v3.1/ok', 200),
    asked('GET', '/api/v3.1/version', 200),
    asked('GET', '/api/v3.1/file-server-auth', 200, headers={
        'X-Original-URI': '/resources/blueprints/default_tenant/shop/blueprint.yaml', 'X-Original-Method': 'GET'}),
    asked('GET', '/api/v3.1/monitoring-auth', 401),
    asked('GET', '/api/v3.1/deployments/spring/metrics', 200),
    asked('GET', '/api/v3.1/audit/checkpoint', 200),
    asked('GET', '/api/v3.1/audit/events', 200),
    asked('GET', '/api/v3.1/audit/stream?since=never', 400),
    ('plain', lambda w: w.ask('GET', f'/api/v3.1/executions/{w.executions.list()[0]["id"]}/timeline'), value(200)),
    asked('POST', '/api/v3.1/operations', 204, json=STORED),
    asked('POST', '/resources/deployments/default_tenant/spring/', 200, files={'f': ('sent.txt', b'sent')}),
    asked('POST', PROXIED, 200, files={'f': ('proxied.txt', b'sent')}),
    asked('PUT', PROXIED + 'other.txt', 200, data=b'other'),
    asked('GET', PROXIED + 'other.txt', 200),
    asked('DELETE', PROXIED + 'other.txt', 204),
]
