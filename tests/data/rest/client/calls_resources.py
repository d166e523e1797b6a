"""Secrets, sites, filters, plugins and blueprints."""
from expected import (BAD, CONFLICT, NOT_FOUND, Refused, anything, done, dumped, has, of, page, shows, texts, value)

ILLEGAL = Refused(400, 'illegal_action_error')
RULE = [{'key': 'season', 'operator': 'any_of', 'type': 'label', 'values': ['spring']}]
OTHER_RULE = [{'key': 'state', 'operator': 'any_of', 'type': 'attribute', 'values': ['uploaded']}]


def uploaded(w, name, **more):
    """Uploads a blueprint and waits until it is worked out."""
    w.blueprints.publish_archive(w.archive(), name, 'blueprint.yaml', **more)
    w.settle()
    return w.blueprints.get(name)


def validated(w):
    w.blueprints.validate(w.blueprint(), 'valid')
    w.settle()
    runs = w.executions.list(workflow_id='upload_blueprint', sort='created_at', is_descending=True)
    return runs[0]


def filters(name, rule, other):
    """The same for filters of both kinds."""
    def clients(w):
        return getattr(w, name)
    return [
        (f'{name}.create', lambda w: clients(w).create('f1', rule), shows(id='f1', value=rule)),
        (f'{name}.create', lambda w: clients(w).create('f1', rule), CONFLICT),
        (f'{name}.create', lambda w: clients(w).create('csys-f', rule), BAD),
        (f'{name}.create', lambda w: clients(w).create('f2', [{'key': 'a'}]), Refused(400, 'invalid_filter_rule')),
        (f'{name}.get', lambda w: clients(w).get('f1'), shows(id='f1', is_system_filter=False)),
        (f'{name}.get', lambda w: clients(w).get('f9'), NOT_FOUND),
        (f'{name}.list', lambda w: clients(w).list(sort='id', _get_all_results=True), page('f1')),
        (f'{name}.update', lambda w: clients(w).update('f1', other), shows(value=rule + other)),
        (f'{name}.update', lambda w: clients(w).update('f9', other), NOT_FOUND),
        (f'{name}.dump', lambda w: w.keep(name, list(clients(w).dump())), dumped('f1')),
        (f'{name}.delete', lambda w: clients(w).delete('f1'), done),
        (f'{name}.delete', lambda w: clients(w).delete('f1'), NOT_FOUND),
        (f'{name}.restore', lambda w: clients(w).restore(w[name], w.log), done),
        (f'{name}.get', lambda w: clients(w).get('f1'), shows(value=rule + other)),
    ]


SECRETS = [
    ('secrets.create', lambda w: w.secrets.create('door', 'sesame'), shows(key='door', visibility='tenant')),
    ('secrets.create', lambda w: w.secrets.create('door', 'other'), CONFLICT),
    ('secrets.create', lambda w: w.secrets.create('door', 'sesame', update_if_exists=True), shows(key='door')),
    ('secrets.create', lambda w: w.secrets.create('1door', 'x'), BAD),
    ('secrets.create', lambda w: w.secrets.create('count', '3', schema={'type': 'integer'}), shows(key='count')),
    ('secrets.get', lambda w: w.secrets.get('door'), shows(value='sesame')),
    ('secrets.get', lambda w: w.secrets.get('window'), NOT_FOUND),
    ('secrets.update', lambda w: w.secrets.update('door', 'open', is_hidden_value=True), shows(is_hidden_value=True)),
    ('secrets.update', lambda w: w.secrets.update('door'), ILLEGAL),
    ('secrets.list', lambda w: w.secrets.list(sort='key'), page('count', 'door', key='key')),
    ('secrets.list', lambda w: w.secrets.list(
        filter_rules=[{'key': 'key', 'operator': 'any_of', 'type': 'attribute', 'values': ['door']}]),
     page('door', key='key')),
    ('secrets.list', lambda w: w.secrets.list(constraints={'valid_values': ['door']}), page('door', key='key')),
    ('secrets.set_visibility', lambda w: w.secrets.set_visibility('count', 'global'), shows(visibility='global')),
    ('secrets.set_visibility', lambda w: w.secrets.set_visibility('count', 'tenant'), ILLEGAL),
    ('secrets.set_global', lambda w: w.secrets.set_global('door'), shows(visibility='global')),
    ('secrets.export', lambda w: w.secrets.export(_passphrase='passphrase'),
     lambda found: {item['key'] for item in found} >= {'door', 'count'} and all(i['encrypted'] for i in found)),
    ('secrets.dump', lambda w: w.keep('secrets', list(w.secrets.dump())), dumped('door', 'count', key='key')),
    ('secrets.delete', lambda w: w.secrets.delete('door'), done),
    ('secrets.delete', lambda w: w.secrets.delete('door'), NOT_FOUND),
    ('secrets.restore', lambda w: list(w.secrets.restore(
        [s for s in w['secrets'] if s['key'] == 'door'], w.log)), of()),
    ('secrets.get', lambda w: w.secrets.get('door'), shows(value='open', is_hidden_value=True)),
    ('secrets.import_secrets', lambda w: w.secrets.import_secrets(
        [{'key': 'door', 'value': 'x', 'visibility': 'tenant', 'tenant_name': 'default_tenant',
          'is_hidden_value': False, 'encrypted': False}]),
     lambda found: found['colliding_secrets'] == {'default_tenant': ['door']} and not found['secrets_errors']),
    ('secrets_providers.create', lambda w: w.secrets_providers.create('vault', 'local'),
     shows(name='vault', type='local')),
    ('secrets_providers.create', lambda w: w.secrets_providers.create('vault', 'local'), CONFLICT),
    ('secrets_providers.create', lambda w: w.secrets_providers.create('odd', 'shoe box'), BAD),
    ('secrets_providers.check', lambda w: w.secrets_providers.check('vault', 'local'), anything),
    ('secrets_providers.get', lambda w: w.secrets_providers.get('vault'), shows(name='vault')),
    ('secrets_providers.get', lambda w: w.secrets_providers.get('none'), NOT_FOUND),
    ('secrets_providers.list', lambda w: w.secrets_providers.list(), page('vault', key='name')),
    ('secrets_providers.update', lambda w: w.secrets_providers.update('vault', 'local', {}), shows(name='vault')),
    ('secrets_providers.dump', lambda w: w.keep('providers', list(w.secrets_providers.dump())),
     dumped('vault', key='name')),
    ('secrets_providers.delete', lambda w: w.secrets_providers.delete('vault'), done),
    ('secrets_providers.restore', lambda w: w.secrets_providers.restore(w['providers'], w.log), done),
    ('secrets_providers.delete', lambda w: w.secrets_providers.delete('vault'), done),
]

SITES = [
    ('sites.create', lambda w: w.sites.create('north', '1.5,2.5'),
     shows(name='north', location='1.5, 2.5', latitude=1.5)),
    ('sites.create', lambda w: w.sites.create('north'), CONFLICT),
    ('sites.create', lambda w: w.sites.create('south', '91,0'), BAD),
    ('sites.get', lambda w: w.sites.get('north'), shows(longitude=2.5)),
    ('sites.get', lambda w: w.sites.get('south'), NOT_FOUND),
    ('sites.list', lambda w: w.sites.list(sort='name'), page('north', key='name')),
    ('sites.update', lambda w: w.sites.update('north', new_name='upper'), shows(name='upper')),
    ('sites.dump', lambda w: w.keep('sites', list(w.sites.dump(['upper']))), dumped('upper', key='name')),
    ('sites.delete', lambda w: w.sites.delete('upper'), done),
    ('sites.delete', lambda w: w.sites.delete('upper'), NOT_FOUND),
    ('sites.restore', lambda w: w.sites.restore(w['sites'], w.log), done),
]

PLUGINS = [
    ('plugins.upload', lambda w: w.keep('plugin', w.plugins.upload(w.plugin(), 'A tool')),
     shows(package_name='tool', package_version='1.0', title='A tool')),
    ('plugins.upload', lambda w: w.plugins.upload(w.plugin()), CONFLICT),
    ('plugins.upload', lambda w: w.plugins.upload(w.file('no.zip', 'nothing')), Refused(400, 'invalid_plugin_error')),
    ('plugins.get', lambda w: w.plugins.get(w['plugin']['id']), shows(title='A tool', installation_state=[])),
    ('plugins.get', lambda w: w.plugins.get('none'), NOT_FOUND),
    ('plugins.list', lambda w: w.plugins.list(package_name='tool', sort='uploaded_at'),
     page('tool', key='package_name')),
    ('plugins.download', lambda w: w.text(w.plugins.download(w['plugin']['id'], w.path('tool.wgn')))[:2],
     value(b'PK')),
    ('plugins.download', lambda w: w.text(
        w.plugins.download(w['plugin']['id'], w.path('whole.zip'), full_archive=True))[:2], value(b'PK')),
    ('plugins.download_yaml', lambda w: w.text(
        w.plugins.download_yaml(w['plugin']['id'], w.path('plugin.yaml')))[:8], value(b'plugins:')),
    ('plugins.get_yaml', lambda w: w.plugins.get_yaml(w['plugin']['id'])[:8], lambda text: 'plugins:' in str(text)),
    ('plugins.list_yaml_files', lambda w: w.plugins.list_yaml_files(w['plugin']['id']),
     lambda found: 'plugin.yaml' in str(list(found))),
    ('plugins.set_state', lambda w: w.plugins.set_state(
        w['plugin']['id'], 'error', manager_name='elsewhere', error='no room'),
     lambda plugin: plugin['installation_state'][0]['state'] == 'error'),
    ('plugins.install', lambda w: w.plugins.install(w['plugin']['id'], managers=[w['managers'][0]['hostname']]),
     shows(package_name='tool')),
    ('plugins.install', lambda w: w.plugins.install(w['plugin']['id'], managers=['nowhere']), NOT_FOUND),
    ('plugins.update', lambda w: w.plugins.update(w['plugin']['id'], labels={'made-by': ['me']}),
     shows(labels={'made-by': ['me']})),
    ('plugins.set_owner', lambda w: w.plugins.set_owner(w['plugin']['id'], 'bob'), shows(created_by='bob')),
    ('plugins.set_visibility', lambda w: w.plugins.set_visibility(w['plugin']['id'], 'tenant'),
     shows(visibility='tenant')),
    ('plugins.set_global', lambda w: w.plugins.set_global(w['plugin']['id']), shows(visibility='global')),
    ('plugins.dump', lambda w: w.keep('plugins', list(w.plugins.dump())), lambda found: len(found) == 1),
    ('plugins.delete', lambda w: w.plugins.delete(w['plugin']['id']), done),
    ('plugins.delete', lambda w: w.plugins.delete(w['plugin']['id']), NOT_FOUND),
    ('plugins.restore', lambda w: list(w.plugins.restore(w['plugins'], w.log, lambda _: w.plugin())),
     lambda found: len(found) == 1),
    ('plugins.get', lambda w: w.plugins.get(w['plugin']['id']), shows(created_by='bob', visibility='global')),
]

BLUEPRINTS = [
    ('blueprints.publish_archive', lambda w: uploaded(w, 'shop', labels=[{'season': 'spring'}]),
     shows(id='shop', state='uploaded', main_file_name='blueprint.yaml')),
    ('blueprints.publish_archive', lambda w: uploaded(w, 'shop'), CONFLICT),
    ('blueprints.publish_archive', lambda w: w.blueprints.publish_archive(
        w.archive('  nothing: {get_nothing: [}\n'), 'broken', 'blueprint.yaml'),
     Refused(400, 'invalid_blueprint_error')),
    ('blueprints.upload', lambda w: w.blueprints.upload(w.blueprint(), 'store'), shows(id='store', state='uploaded')),
    ('blueprints.upload', lambda w: w.blueprints.upload(w.blueprint(), 'with space'), BAD),
    ('blueprints.validate', validated, shows(workflow_id='upload_blueprint', status='terminated')),
    ('blueprints.get', lambda w: w.blueprints.get('valid'), NOT_FOUND),
    ('blueprints.get', lambda w: w.blueprints.get('shop', _include=['id', 'labels']),
     lambda found: set(found) == {'id', 'labels'} and found['labels'][0]['value'] == 'spring'),
    ('blueprints.get', lambda w: w.blueprints.get('shop', _include=['colour']),
     Refused(400, 'no_such_include_field_error')),
    ('blueprints.list', lambda w: w.blueprints.list(sort='created_at'), page('broken', 'shop', 'store')),
    ('blueprints.list', lambda w: w.blueprints.list(filter_id='f1'), page('shop')),
    ('blueprints.list', lambda w: w.blueprints.list(filter_rules=RULE), page('shop')),
    ('blueprints.list', lambda w: w.blueprints.list(constraints={'name_pattern': {'starts_with': 'st'}}),
     page('store')),
    ('blueprints.list', lambda w: w.blueprints.list(sort='colour'), BAD),
    ('blueprints.update', lambda w: w.blueprints.update('shop', {'labels': [{'season': 'spring'}, {'kind': 'a'}]}),
     lambda found: {label['key'] for label in found['labels']} == {'season', 'kind'}),
    ('blueprints.update', lambda w: w.blueprints.update('shop', {'colour': 'red'}), BAD),
    ('blueprints.download', lambda w: len(w.text(w.blueprints.download('shop', w.path('shop.tar.gz')))) > 100,
     value(True)),
    ('blueprints.upload_icon', lambda w: w.blueprints.upload_icon('shop', w.file('icon.png', b'\x89PNG\r\n\x1a\n')),
     anything),
    ('resources.get_file', lambda w: b''.join(w.resources.get_file(
        '/resources/blueprints/default_tenant/shop/icon.png').bytes_stream())[:4], value(b'\x89PNG')),
    ('blueprints.remove_icon', lambda w: w.blueprints.remove_icon('shop'), anything),
    ('resources.get_file', lambda w: w.resources.get_file('/resources/blueprints/default_tenant/shop/icon.png'),
     NOT_FOUND),
    ('blueprints.set_visibility', lambda w: w.blueprints.set_visibility('store', 'tenant'),
     shows(visibility='tenant')),
    ('blueprints.set_global', lambda w: w.blueprints.set_global('store'), shows(visibility='global')),
    ('blueprints.set_visibility', lambda w: w.blueprints.set_visibility('store', 'tenant'), ILLEGAL),
    ('blueprints.upload_archive', lambda w: w.blueprints.upload_archive('store', w.archive()), anything),
    ('blueprints.dump', lambda w: w.keep('blueprints', list(w.blueprints.dump(['store']))), dumped('store')),
    ('blueprints.delete', lambda w: w.blueprints.delete('store'), done),
    ('blueprints.delete', lambda w: w.blueprints.delete('store'), NOT_FOUND),
    ('blueprints.delete', lambda w: w.blueprints.delete('broken'), done),
    ('blueprints.restore', lambda w: list(w.blueprints.restore(w['blueprints'], w.log, lambda _: w.archive())),
     of(has('store'))),
    ('blueprints_labels.list_keys', lambda w: w.blueprints_labels.list_keys(), texts('season', 'kind')),
    ('blueprints_labels.list_key_values', lambda w: w.blueprints_labels.list_key_values('season'), texts('spring')),
    ('blueprints_labels.get_reserved_labels_keys', lambda w: w.blueprints_labels.get_reserved_labels_keys(),
     texts('csys-obj-type')),
]

DEPLOYMENT_RULE = [{'key': 'blueprint_id', 'operator': 'any_of', 'type': 'attribute', 'values': ['shop']}]
LINES = (SECRETS + SITES + filters('blueprints_filters', RULE, OTHER_RULE)
         + filters('deployments_filters', RULE, DEPLOYMENT_RULE) + PLUGINS + BLUEPRINTS)
