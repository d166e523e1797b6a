"""Deployments with their nodes, groups, dependencies, updates and modifications."""
from expected import (BAD, CONFLICT, NOT_FOUND, Refused, anything, done, dumped, has, page, shows, texts, value)

EXISTS = Refused(400, 'dependent_exists_error')
ILLEGAL = Refused(400, 'illegal_action_error')
ONLY_UPDATE = Refused(403, 'only_deployment_update')
RULE = [{'key': 'season', 'operator': 'any_of', 'type': 'label', 'values': ['spring']}]


def created(w, name, **more):
    w.deployments.create('shop', name, **more)
    w.settle()
    return w.deployments.get(name)


def instance(w, node='host'):
    return w.node_instances.list(deployment_id='spring', node_id=node)[0]


def deleted(w, name, **more):
    w.deployments.delete(name, **more)
    w.settle()
    return [found['id'] for found in w.deployments.list()]


def updated(w, **more):
    update = w.deployment_updates.update_with_existing_blueprint('spring', **more)
    w.settle()
    return w.keep('update', w.deployment_updates.get(update['id']))


def restored(w):
    try:
        w.inter_deployment_dependencies.legacy_restore('autumn', False)
    finally:
        # nobody reads the body of a request to nowhere, so the connection may end with it
        w.session.close()


def synced(w):
    """Puts a file into the working directory while it is synced; what the manager has then."""
    folder = w.fresh('synced')
    with w.resources.sync_deployment_workdir('spring', folder):
        w.file('synced/more.txt', 'more')
    return b''.join(w.resources.get_file(
        '/resources/deployments/default_tenant/spring/more.txt').bytes_stream())


def downloaded(w):
    w.resources.download_deployment_workdir('spring', w.fresh('downloaded'))
    return w.text(w.path('downloaded/notes.txt'))


DEPLOYMENTS = [
    ('deployments.create', lambda w: created(w, 'spring', labels=[{'season': 'spring'}], site_name='upper'),
     shows(id='spring', blueprint_id='shop', site_name='upper')),
    ('deployments.create', lambda w: created(w, 'spring'), CONFLICT),
    ('deployments.create', lambda w: created(w, 'x', inputs={'colour': 'red'}),
     Refused(400, 'unknown_deployment_input_error')),
    ('deployments.create', lambda w: w.deployments.create('nothing', 'x'), NOT_FOUND),
    ('deployments.create', lambda w: created(w, 'autumn', inputs={'port': 81}, display_name='Autumn time'),
     shows(display_name='Autumn time', inputs={'port': 81})),
    ('deployments.get', lambda w: w.deployments.get('spring', include_workdir=True),
     lambda found: found['workdir_zip'] and 'install' in [flow['name'] for flow in found['workflows']]),
    ('deployments.get', lambda w: w.deployments.get('winter'), NOT_FOUND),
    ('deployments.list', lambda w: w.deployments.list(sort='id', _include=['id']), page('autumn', 'spring')),
    ('deployments.list', lambda w: w.deployments.list(filter_rules=RULE), page('spring')),
    ('deployments.list', lambda w: w.deployments.list(filter_id='f1'), page('spring')),
    ('deployments.list', lambda w: w.deployments.list(constraints={'name_pattern': {'contains': 'Aut'}}),
     page('autumn')),
    ('deployments.outputs.get', lambda w: w.deployments.outputs.get('autumn'), shows(outputs={'port': 81})),
    ('deployments.capabilities.get', lambda w: w.deployments.capabilities.get('autumn'),
     shows(capabilities={'port': 81})),
    ('deployments.capabilities.list', lambda w: w.deployments.capabilities.list('autumn'),
     lambda found: found[0]['deployment_id'] == 'autumn'),
    ('deployments.scaling_groups.list', lambda w: w.deployments.scaling_groups.list(deployment_id='spring'),
     page('pair', key='name')),
    ('deployments.update_labels', lambda w: w.deployments.update_labels(
        'spring', [{'season': 'spring'}, {'colour': 'green'}]),
     lambda found: {label['key'] for label in found['labels']} == {'season', 'colour'}),
    ('deployments.update_labels', lambda w: w.deployments.update_labels(
        'spring', [{'csys-obj-parent': 'nobody'}]), Refused(404, 'deployment_parent_not_found_error')),
    ('deployments.set_attributes', lambda w: w.deployments.set_attributes('spring', display_name='Spring'),
     shows(display_name='Spring')),
    ('deployments.set_attributes', lambda w: w.deployments.set_attributes('spring', description='green'), anything),
    ('deployments.set_attributes', lambda w: w.deployments.set_attributes('spring', inputs={}), CONFLICT),
    ('deployments.set_site', lambda w: w.deployments.set_site('spring', detach_site=True), shows(site_name=None)),
    ('deployments.set_site', lambda w: w.deployments.set_site('spring', 'nowhere'), NOT_FOUND),
    ('deployments.set_site', lambda w: w.deployments.set_site('spring'), BAD),
    ('deployments.set_visibility', lambda w: w.deployments.set_visibility('spring', 'tenant'),
     shows(visibility='tenant')),
    ('deployments.set_visibility', lambda w: w.deployments.set_visibility('spring', 'private'), BAD),
    ('deployments_labels.list_keys', lambda w: w.deployments_labels.list_keys(), texts('season', 'colour')),
    ('deployments_labels.list_key_values', lambda w: w.deployments_labels.list_key_values('colour'), texts('green')),
    ('deployments_labels.get_reserved_labels_keys', lambda w: w.deployments_labels.get_reserved_labels_keys(),
     texts('csys-obj-parent')),
    ('workflows.list', lambda w: w.workflows.list(), page('install', 'uninstall', key='name')),
    ('workflows.list', lambda w: w.workflows.list(filter_rules=RULE), page('install', key='name')),
    ('evaluate.functions', lambda w: w.evaluate.functions('autumn', {}, {'port': {'get_input': 'port'}}),
     shows(payload={'port': 81})),
    ('evaluate.functions', lambda w: w.evaluate.functions('autumn', {}, {'port': {'get_input': 'nothing'}}),
     Refused(400, 'functions_evaluation_error')),
    ('deployments.dump', lambda w: w.keep('deployments', list(w.deployments.dump(['autumn']))), dumped('autumn')),
]

WORKDIR = [
    ('resources.upload_deployment_workdir', lambda w: w.resources.upload_deployment_workdir('spring', w.workdir()),
     done),
    ('resources.download_deployment_workdir', downloaded, value(b'remember')),
    ('resources.upload_deployment_file', lambda w: w.resources.upload_deployment_file(
        'spring', 'other.txt', w.file('other.txt', 'other'), '2020-01-01T00:00:00+00:00'), done),
    ('resources.sync_deployment_workdir', synced, value(b'more')),
    ('resources.delete_deployment_file', lambda w: w.resources.delete_deployment_file('spring', 'other.txt'),
     anything),
    ('resources.get_file', lambda w: w.resources.get_file('/resources/deployments/default_tenant/spring/other.txt'),
     NOT_FOUND),
]

NODES = [
    ('nodes.list', lambda w: w.nodes.list(deployment_id='spring', sort='id'), page('app', 'host')),
    ('nodes.list', lambda w: w.nodes.list(
        deployment_id='spring',
        filter_rules=[{'key': 'id', 'operator': 'any_of', 'type': 'attribute', 'values': ['app']}]), page('app')),
    ('nodes.list', lambda w: w.nodes.list(constraints={'deployment_id': 'spring'}), page('app', 'host')),
    ('nodes.get', lambda w: w.nodes.get('spring', 'app', evaluate_functions=True),
     shows(id='app', type='cloudify.nodes.Root', actual_number_of_instances=1)),
    ('nodes.get', lambda w: w.nodes.get('spring', 'roof'), value(None)),
    ('nodes.types.list', lambda w: w.nodes.types.list(deployment_id='spring'),
     page('cloudify.nodes.Root', key='type')),
    ('nodes.update', lambda w: w.nodes.update('spring', 'app', properties={}), ONLY_UPDATE),
    ('nodes.delete', lambda w: w.nodes.delete('spring', 'app'), ONLY_UPDATE),
    ('nodes.dump', lambda w: w.keep('nodes', list(w.nodes.dump(['autumn']))), dumped('app', 'host')),
    ('node_instances.list', lambda w: w.node_instances.list(deployment_id='spring'), page('host', key='node_id')),
    ('node_instances.list', lambda w: w.node_instances.list(constraints={'deployment_id': 'spring'}),
     page('host', 'app', key='node_id')),
    ('node_instances.get', lambda w: w.node_instances.get(w.keep('instance', instance(w))['id']),
     shows(node_id='host', state='uninitialized', version=1)),
    ('node_instances.get', lambda w: w.node_instances.get('roof_1'), NOT_FOUND),
    ('node_instances.update', lambda w: w.node_instances.update(
        w['instance']['id'], runtime_properties={'token': 't'}, version=1), shows(version=2)),
    ('node_instances.update', lambda w: w.node_instances.update(
        w['instance']['id'], runtime_properties={'token': 'u'}, version=1), CONFLICT),
    ('node_instances.update', lambda w: w.node_instances.update(
        w['instance']['id'], runtime_properties={}, version=1, force=True), shows(version=3)),
    ('node_instances.update', lambda w: w.node_instances.update(
        w['instance']['id'], relationships=[], version=3), ONLY_UPDATE),
    ('node_instances.search', lambda w: w.node_instances.search([w['instance']['id']], all_tenants=True),
     lambda found: len(found) == 1 and found[0]['node_id'] == 'host'),
    ('node_instances.delete', lambda w: w.node_instances.delete(w['instance']['id']), ONLY_UPDATE),
    ('node_instances.dump', lambda w: w.keep('instances', list(w.node_instances.dump(['autumn']))),
     dumped('host', 'app', key='node_id')),
    ('deployments.delete', lambda w: deleted(w, 'autumn'), lambda left: 'autumn' not in left),
    ('deployments.restore', lambda w: w.deployments.restore(w['deployments'], w.log, lambda _: None), done),
    ('nodes.restore', lambda w: w.nodes.restore([n['__entity'] for n in w['nodes']], w.log, 'autumn'), done),
    ('node_instances.restore', lambda w: w.node_instances.restore(
        [i['__entity'] for i in w['instances']], w.log, 'autumn'), done),
    ('nodes.create_many', lambda w: w.nodes.create_many('autumn', [{'id': 'roof', 'type': 'cloudify.nodes.Root'}]),
     done),
    ('nodes.create_many', lambda w: w.nodes.create_many('winter', [{'id': 'roof', 'type': 'x'}]), NOT_FOUND),
    ('node_instances.create_many', lambda w: w.node_instances.create_many(
        'autumn', [{'id': 'roof_1', 'node_id': 'roof'}]), done),
    ('node_instances.list', lambda w: w.node_instances.list(deployment_id='autumn'), page('roof_1')),
    ('deployments.outputs.get', lambda w: w.deployments.outputs.get('autumn'), shows(outputs={'port': 81})),
]


GROUPS = [
    ('deployment_groups.put', lambda w: w.deployment_groups.put(
        'seasons', blueprint_id='shop', default_inputs={'port': 82}, deployment_ids=['spring'],
        labels=[{'kind': 'season'}]), shows(id='seasons', deployment_ids=['spring'])),
    ('deployment_groups.put', lambda w: w.deployment_groups.put('others', deployment_ids=['winter']), NOT_FOUND),
    ('deployment_groups.add_deployments', lambda w: w.deployment_groups.add_deployments(
        'seasons', filter_rules=[{'key': 'id', 'operator': 'any_of', 'type': 'attribute', 'values': ['autumn']}]),
     lambda group: set(group['deployment_ids']) == {'spring', 'autumn'}),
    ('deployment_groups.add_deployments', lambda w: w.settled(w.deployment_groups.add_deployments(
        'seasons', new_deployments=[{'id': 'summer'}])), lambda group: 'summer' in group['deployment_ids']),
    ('deployment_groups.remove_deployments', lambda w: w.deployment_groups.remove_deployments('seasons', ['autumn']),
     lambda group: set(group['deployment_ids']) == {'spring', 'summer'}),
    ('deployment_groups.get', lambda w: w.deployment_groups.get('seasons'), shows(default_blueprint_id='shop')),
    ('deployment_groups.get', lambda w: w.deployment_groups.get('none'), NOT_FOUND),
    ('deployment_groups.list', lambda w: w.deployment_groups.list(), page('seasons')),
    ('deployments.list', lambda w: w.deployments.list(_group_id='seasons'), page('spring', 'summer')),
    ('deployment_groups.dump', lambda w: w.keep('groups', list(w.deployment_groups.dump())), dumped('seasons')),
    ('deployment_groups.delete', lambda w: w.deployment_groups.delete('seasons'), done),
    ('deployment_groups.delete', lambda w: w.deployment_groups.delete('seasons'), NOT_FOUND),
    ('deployment_groups.restore', lambda w: w.deployment_groups.restore(w['groups'], w.log), done),
    ('deployment_groups.get', lambda w: w.deployment_groups.get('seasons'), shows(default_inputs={'port': 82})),
    ('deployments.list', lambda w: w.deployments.list(_group_id='seasons'), page('spring', 'summer')),
]

DEPENDENCIES = [
    ('inter_deployment_dependencies.create', lambda w: w.inter_deployment_dependencies.create(
        'calls.one', 'autumn', 'spring'), shows(source_deployment_id='autumn', target_deployment_id='spring')),
    ('inter_deployment_dependencies.create', lambda w: w.inter_deployment_dependencies.create(
        'calls.one', 'spring', 'autumn'), CONFLICT),
    ('inter_deployment_dependencies.create', lambda w: w.inter_deployment_dependencies.create(
        'calls.one', 'winter', 'spring'), NOT_FOUND),
    ('inter_deployment_dependencies.list', lambda w: w.inter_deployment_dependencies.list(
        source_deployment_id='autumn'), page('calls.one', key='dependency_creator')),
    ('deployments.delete', lambda w: w.deployments.delete('spring'), EXISTS),
    ('inter_deployment_dependencies.dump', lambda w: w.keep('idds', list(w.inter_deployment_dependencies.dump())),
     dumped('calls.one', key='dependency_creator')),
    ('inter_deployment_dependencies.delete', lambda w: w.inter_deployment_dependencies.delete(
        'calls.one', 'autumn', 'spring'), anything),
    ('inter_deployment_dependencies.restore', lambda w: w.inter_deployment_dependencies.restore(w['idds'], w.log),
     done),
    ('inter_deployment_dependencies.update_all', lambda w: w.inter_deployment_dependencies.update_all(
        'autumn', [{'dependency_creator': 'calls.two', 'target_deployment': 'spring'}]), anything),
    ('inter_deployment_dependencies.list', lambda w: [
        one['dependency_creator'] for one in w.inter_deployment_dependencies.list()], value(['calls.two'])),
    ('inter_deployment_dependencies.create_many', lambda w: w.inter_deployment_dependencies.create_many(
        'autumn', [{'dependency_creator': 'calls.three', 'target_deployment': 'spring'}]), anything),
    ('inter_deployment_dependencies.update_all', lambda w: w.inter_deployment_dependencies.update_all('autumn', []),
     anything),
    ('inter_deployment_dependencies.legacy_restore', restored, NOT_FOUND),
]

CHANGES = [
    ('deployment_modifications.start', lambda w: w.keep('modification', w.deployment_modifications.start(
        'spring', {'pair': {'instances': 2}}, {'why': 'demand'})), shows(status='started', deployment_id='spring')),
    ('deployment_modifications.start', lambda w: w.deployment_modifications.start('spring', {}),
     Refused(400, 'existing_started_deployment_modification_error')),
    ('deployment_modifications.get', lambda w: w.deployment_modifications.get(w['modification']['id']),
     shows(context={'why': 'demand'})),
    ('deployment_modifications.get', lambda w: w.deployment_modifications.get('none'), NOT_FOUND),
    ('deployment_modifications.list', lambda w: w.deployment_modifications.list('spring'),
     page('spring', key='deployment_id')),
    ('deployment_modifications.rollback', lambda w: w.deployment_modifications.rollback(w['modification']['id']),
     shows(status='rolledback')),
    ('deployment_modifications.finish', lambda w: w.deployment_modifications.finish(w['modification']['id']),
     Refused(400, 'deployment_modification_already_ended_error')),
    ('deployment_modifications.finish', lambda w: w.deployment_modifications.finish(
        w.deployment_modifications.start('spring', {})['id']), shows(status='finished')),
    ('deployment_updates.update_with_existing_blueprint', lambda w: updated(w, inputs={'port': 83}),
     shows(state='successful', deployment_id='spring', new_inputs={'port': 83})),
    ('deployment_updates.update_with_existing_blueprint', lambda w: updated(w, blueprint_id='nothing'), NOT_FOUND),
    ('deployment_updates.get', lambda w: w.deployment_updates.get(w['update']['id']), has('steps', 'execution_id')),
    ('deployment_updates.get', lambda w: w.deployment_updates.get('none'), NOT_FOUND),
    ('deployment_updates.list', lambda w: w.deployment_updates.list(sort='created_at', deployment_id='spring'),
     page('successful', key='state')),
    ('deployment_updates.finalize_commit', lambda w: w.deployment_updates.finalize_commit(w['update']['id']),
     anything),
    ('deployment_updates.set_attributes', lambda w: w.deployment_updates.set_attributes(
        w['update']['id'], state='successful'), done),
    ('deployment_updates.create', lambda w: w.deployment_updates.create('u2', 'spring', state='updating'),
     Refused(403, 'forbidden_error')),
    ('deployment_updates.create', lambda w: w.deployment_updates.create(
        'u2', 'spring', state='successful', execution_id=w['update']['execution_id'], blueprint_id='shop'),
     shows(id='u2', state='successful')),
    ('deployment_updates.dump', lambda w: w.keep('updates', list(w.deployment_updates.dump(['u2']))), dumped('u2')),
    ('deployment_updates.restore', lambda w: w.deployment_updates.restore(w['updates'], w.log), done),
    ('deployment_updates.bulk_insert', lambda w: w.deployment_updates.bulk_insert([]), done),
]

SUMMARIES = [
    ('summary.blueprints.get', lambda w: w.summary.blueprints.get('tenant_name'),
     lambda found: found[0]['blueprints'] == 2),
    ('summary.blueprints.get', lambda w: w.summary.blueprints.get('colour'), BAD),
    ('summary.deployments.get', lambda w: w.summary.deployments.get('blueprint_id', 'deployment_status'),
     lambda found: found[0]['deployments'] == 3 and 'by deployment_status' in found[0]),
    ('summary.nodes.get', lambda w: w.summary.nodes.get('deployment_id'), lambda found: len(found) == 3),
    ('summary.node_instances.get', lambda w: w.summary.node_instances.get('deployment_id', 'state'),
     lambda found: len(found) == 3),
    ('summary.executions.get', lambda w: w.summary.executions.get('status', 'workflow_id'),
     lambda found: 'terminated' in [row['status'] for row in found]),
]

LINES = DEPLOYMENTS + WORKDIR + NODES + GROUPS + DEPENDENCIES + CHANGES + SUMMARIES
