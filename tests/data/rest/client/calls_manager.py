"""The manager itself: versions, settings, the cluster, licence, tokens, maintenance, snapshots."""
import asyncio

from cloudify_rest_client.exceptions import NotModifiedError
from expected import BAD, CONFLICT, NOT_FOUND, Refused, anything, done, has, page, shows, value

MANAGER = {
    'hostname': 'm2', 'private_ip': '10.0.0.2', 'public_ip': '10.0.0.2', 'version': '7.1.0',
    'edition': 'community', 'distribution': 'linux', 'distro_release': '9'}


def streamed(w):
    """The first record of an endless answer."""
    async def first():
        log = w.auditlog
        try:
            answer = await log.stream(timeout=20, since='2001-01-01T00:00:00')
            return answer.status, await answer.content.readany()
        finally:
            await log.close()
    return asyncio.run(first())


def opened(w):
    async def session():
        client = await w.auditlog.async_client()
        await client.close_session()
        return client.url
    return asyncio.run(session())


def closed(w):
    async def close():
        async with w.auditlog as log:
            await log.close()
    return asyncio.run(close())


def not_modified(call):
    try:
        return call()
    except NotModifiedError as error:
        return error.status_code, error.error_code


LINES = [
    ('manager.get_version', lambda w: w.manager.get_version(), has('edition', 'version', 'build', 'date')),
    ('manager.get_status', lambda w: w.manager.get_status(), has('status', 'services')),
    ('cluster_status.get_status', lambda w: w.cluster_status.get_status(), has('status', 'services')),
    ('cluster_status.get_status', lambda w: w.cluster_status.get_status(summary_format=True),
     shows(status='OK', services={})),
    ('manager.get_config', lambda w: w.manager.get_config(),
     lambda found: 'task_retries' in [item['name'] for item in found.items]),
    ('manager.get_config', lambda w: w.manager.get_config(scope='workflow'),
     lambda found: {item['scope'] for item in found.items} == {'workflow'}),
    ('manager.get_config', lambda w: w.manager.get_config('task_retries', 'workflow'), shows(value=60)),
    ('manager.get_config', lambda w: w.manager.get_config('max_workers'), Refused(409, 'ambiguous_name')),
    ('manager.get_config', lambda w: w.manager.get_config('nothing'), NOT_FOUND),
    ('manager.put_config', lambda w: w.manager.put_config('workflow.task_retries', 0), shows(value=0)),
    ('manager.put_config', lambda w: w.manager.put_config('workflow.task_retries', -5), CONFLICT),
    ('manager.put_config', lambda w: w.manager.put_config('rest.file_server_root', '/x'), CONFLICT),
    ('manager.get_context', lambda w: w.manager.get_context(), shows(id='CONTEXT', name='provider')),
    ('manager.create_context', lambda w: w.manager.create_context('other', {}), CONFLICT),
    ('manager.update_context', lambda w: w.manager.update_context('provider', {'a': 1}), anything),
    ('manager.get_context', lambda w: w.manager.get_context(_include=['context']), value({'context': {'a': 1}})),
    ('manager.get_managers', lambda w: w.keep('managers', w.manager.get_managers()),
     lambda found: len(found) == 1 and 'default' in found[0]['networks']),
    ('manager.add_manager', lambda w: w.manager.add_manager(**MANAGER), shows(hostname='m2')),
    ('manager.add_manager', lambda w: w.manager.add_manager(**MANAGER), CONFLICT),
    ('manager.update_manager', lambda w: w.manager.update_manager('m2', 'sync', False),
     shows(fs_sync_node_id='sync')),
    ('manager.get_managers', lambda w: w.manager.get_managers('m2', _include=['hostname', 'networks']),
     lambda found: found.items == [{'hostname': 'm2', 'networks': {'default': '10.0.0.2'}}]),
    ('manager.remove_manager', lambda w: w.manager.remove_manager('m2'), done),
    ('manager.remove_manager', lambda w: w.manager.remove_manager('m2'), NOT_FOUND),
    ('manager.add_broker', lambda w: w.manager.add_broker('b2', '10.0.0.3'), shows(name='b2', port=5671)),
    ('manager.add_broker', lambda w: w.manager.add_broker('b3', '10.0.0.3', networks={'a': '10.0.0.4'}), BAD),
    ('manager.update_broker', lambda w: w.manager.update_broker('b2', {'far': '10.1.0.3'}),
     shows(networks={'default': '10.0.0.3', 'far': '10.1.0.3'})),
    ('manager.get_brokers', lambda w: w.manager.get_brokers(), page('b2', key='name')),
    ('manager.remove_broker', lambda w: w.manager.remove_broker('b2'), done),
    ('manager.get_db_nodes', lambda w: w.manager.get_db_nodes(), page(key='name')),
    ('manager.update_db_nodes', lambda w: w.manager.update_db_nodes(), page(key='name')),
    ('idp.get', lambda w: w.idp.get(), value('local')),
    ('ldap.get_status', lambda w: w.ldap.get_status(), value('disabled')),
    ('ldap.set', lambda w: w.ldap.set('http://ldap.example.org', ldap_domain='example.org'), BAD),
    ('community_contacts.create',
     lambda w: w.community_contacts.create('Ann', 'Lee', 'ann@example.org', '1', True), anything),
    ('community_contacts.create',
     lambda w: w.community_contacts.create('Ann', 'Lee', 'ann@example.org', '1', False), BAD),
    ('license.check', lambda w: w.license.check(), done),
    ('license.list', lambda w: w.license.list(), page(key='customer_id')),
    ('license.upload', lambda w: w.license.upload(w.license_file()), shows(customer_id='ACME', expired=False)),
    ('license.upload', lambda w: w.license.upload(w.file('no.yaml', 'a: [')), Refused(400, 'invalid_yaml_format')),
    ('license.list', lambda w: w.license.list(), page('ACME', key='customer_id')),
    ('license.delete', lambda w: w.license.delete(), done),
    ('license.delete', lambda w: w.license.delete(), NOT_FOUND),
    ('tokens.create', lambda w: w.keep('token', w.tokens.create('for calls', '+10h')),
     lambda token: token['value'].startswith(f'ctok-{token["id"]}-')),
    ('tokens.create', lambda w: w.tokens.create(expiration='2001-01-01 00:00'), BAD),
    ('tokens.get', lambda w: w.tokens.get(w['token']['id']),
     lambda token: token['value'].endswith('********') and token['description'] == 'for calls'),
    ('tokens.list', lambda w: w.tokens.list(), lambda found: len(found) == 1),
    ('tokens.delete', lambda w: w.tokens.delete(w['token']['id']), done),
    ('tokens.get', lambda w: w.tokens.get(w['token']['id']), NOT_FOUND),
    ('maintenance_mode.status', lambda w: w.maintenance_mode.status(), shows(status='deactivated')),
    ('maintenance_mode.activate', lambda w: w.maintenance_mode.activate(), shows(status='activated')),
    ('maintenance_mode.activate', lambda w: not_modified(w.maintenance_mode.activate), value((304, 'not_modified'))),
    ('blueprints.list', lambda w: w.blueprints.list(), Refused(503, 'maintenance_mode_active')),
    ('maintenance_mode.deactivate', lambda w: w.maintenance_mode.deactivate(), shows(status='deactivated')),
    ('snapshots.create', lambda w: w.ended(w.snapshots.create('s1', True, legacy=False)),
     shows(status='terminated', workflow_id='create_snapshot')),
    ('snapshots.create', lambda w: w.snapshots.create('s1', True), CONFLICT),
    ('snapshots.get', lambda w: w.snapshots.get('s1'), shows(id='s1', status='created', visibility='private')),
    ('snapshots.get', lambda w: w.snapshots.get('s9'), NOT_FOUND),
    ('snapshots.list', lambda w: w.snapshots.list(sort='created_at', is_descending=True), page('s1')),
    ('snapshots.download', lambda w: w.text(w.snapshots.download('s1', w.path('s1.zip')))[:2], value(b'PK')),
    ('snapshots.upload', lambda w: w.snapshots.upload(w.path('s1.zip'), 's2'), shows(id='s2', status='uploaded')),
    ('snapshots.update_status', lambda w: w.snapshots.update_status('s2', 'failed', 'broken'), done),
    ('snapshots.update_status', lambda w: w.snapshots.update_status('s2', 'lost'), BAD),
    ('snapshots.restore', lambda w: w.snapshots.restore('s2'), Refused(400, 'snapshot_action_error')),
    ('snapshots.restore', lambda w: w.snapshots.restore('s9'), NOT_FOUND),
    ('snapshots.get_status', lambda w: w.snapshots.get_status(), shows(status='not-running')),
    ('snapshots.delete', lambda w: w.snapshots.delete('s2'), anything),
    ('snapshots.delete', lambda w: w.snapshots.delete('s1'), anything),
    ('snapshots.delete', lambda w: w.snapshots.delete('s1'), NOT_FOUND),
    ('log_bundles.create', lambda w: w.ended(w.log_bundles.create('l1')),
     shows(status='terminated', workflow_id='create_log_bundle')),
    ('log_bundles.create', lambda w: w.log_bundles.create('l1'), CONFLICT),
    ('log_bundles.get', lambda w: w.log_bundles.get('l1'), shows(status='created', visibility='private')),
    ('log_bundles.get', lambda w: w.log_bundles.get('l9'), NOT_FOUND),
    ('log_bundles.list', lambda w: w.log_bundles.list(sort='created_at'), page('l1')),
    ('log_bundles.download', lambda w: w.text(w.log_bundles.download('l1', w.path('l1.zip')))[:2], value(b'PK')),
    ('log_bundles.upload_archive', lambda w: w.log_bundles.upload_archive('l1', w.path('l1.zip')), done),
    ('log_bundles.update_status', lambda w: w.log_bundles.update_status('l1', 'failed', 'no room'), done),
    ('log_bundles.update_status', lambda w: w.log_bundles.update_status('l1', 'lost'), BAD),
    ('log_bundles.delete', lambda w: w.log_bundles.delete('l1'), done),
    ('log_bundles.delete', lambda w: w.log_bundles.delete('l1'), NOT_FOUND),
    ('auditlog.list', lambda w: w.auditlog.list(size=5, creator_name='admin'),
     lambda found: len(found) == 5 and found[0]['creator_name'] == 'admin'),
    ('auditlog.delete', lambda w: w.auditlog.delete(before='2001-01-01T00:00:00').deleted, value(0)),
    ('auditlog.inject', lambda w: w.auditlog.inject([]), done),
    ('auditlog.async_client', opened, lambda url: url.endswith('/api/v3.1')),
    ('auditlog.stream', streamed, lambda told: told[0] == 200 and told[1].startswith(b'{')),
    ('auditlog.close', closed, done),
]
