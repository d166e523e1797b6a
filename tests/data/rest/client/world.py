"""The manager as the calls see it: the client, files to send, and what was learned on the way."""
import io
import json
import logging
import os
import tarfile
import time
import zipfile

ACTIVE = {'pending', 'started', 'queued', 'cancelling', 'force_cancelling', 'kill_cancelling'}
PATIENCE_S = 60

BLUEPRINT = '''
tosca_definitions_version: cloudify_dsl_1_4
imports: [cloudify/types/types.yaml]
inputs:
  port: {type: integer, default: 80}
node_templates:
  host:
    type: cloudify.nodes.Root
  app:
    type: cloudify.nodes.Root
    relationships: [{type: cloudify.relationships.depends_on, target: host}]
groups:
  pair: {members: [app]}
policies:
  scaled: {type: cloudify.policies.scaling, targets: [pair], properties: {default_instances: 1}}
outputs:
  port: {value: {get_input: port}}
capabilities:
  port: {value: {get_input: port}}
'''
LICENSE = '''
license:
  customer_id: ACME
  expiration_date: 2999-12-31
  license_edition: Premium
  trial: false
  capabilities: [MANAGER]
signature: !!binary |
  c2lnbmVk
'''
PLUGIN = 'plugins: {tool: {executor: central_deployment_agent, package_name: tool, package_version: "1.0"}}\n'


class Raising(logging.Logger):
    """What a restore only logs is an error here."""

    def error(self, message, *args, **kwargs):
        raise RuntimeError(message)


class World(dict):
    def __init__(self, client, session, directory):
        super().__init__()
        self.client, self.session, self.directory = client, session, directory
        self.log = Raising('restore')

    def __getattr__(self, name):
        """A client by its name."""
        return getattr(self.client, name)

    def ask(self, method, path, headers=None, **more):
        """A request that the library has no method for; its status."""
        own = {**self.client._client.headers, **(headers or {})}
        if 'files' in more:
            own.pop('Content-type')
        return self.session.request(method, self.client._client.base_url + path, headers=own, **more).status_code

    def keep(self, name, value):
        self[name] = value
        return value

    def path(self, name):
        return os.path.join(self.directory, name)

    def file(self, name, content):
        with open(self.path(name), 'wb') as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return self.path(name)

    def text(self, path):
        with open(path, 'rb') as file:
            return file.read()

    def blueprint(self, more=''):
        """A folder with a blueprint; the path of its file."""
        os.makedirs(self.path('blueprint'), exist_ok=True)
        return self.file('blueprint/blueprint.yaml', BLUEPRINT + more)

    def archive(self, more=''):
        """An archive of that folder."""
        self.blueprint(more)
        with tarfile.open(self.path('blueprint.tar.gz'), 'w:gz') as tar:
            tar.add(self.path('blueprint'), arcname='blueprint')
        return self.path('blueprint.tar.gz')

    def workdir(self):
        os.makedirs(self.path('workdir'), exist_ok=True)
        self.file('workdir/notes.txt', 'remember')
        return self.path('workdir')

    def fresh(self, name):
        os.makedirs(self.path(name))
        return self.path(name)

    def license_file(self):
        return self.file('license.yaml', LICENSE)

    def plugin(self, version='1.0'):
        """A wagon with its YAML file beside it."""
        package = {
            'package_name': 'tool', 'package_version': version, 'package_source': '.', 'supported_platform': 'any',
            'archive_name': f'tool-{version}-py3-none-any.wgn', 'supported_python_versions': ['py3'], 'wheels': [],
            'build_server_os_properties': {
                'distribution': None, 'distribution_version': None, 'distribution_release': None}}
        wagon = zipped({'tool/package.json': json.dumps(package)})
        yaml = PLUGIN.replace('1.0', version)
        files = {'plugin.yaml': yaml, package['archive_name']: wagon}
        return self.file(f'plugin-{version}.zip', zipped(files))

    def until(self, holds):
        begun = time.monotonic()
        while not holds():
            if time.monotonic() - begun > PATIENCE_S:
                raise RuntimeError('nothing happens')
            time.sleep(0.05)

    def settle(self):
        """Waits until nothing runs."""
        def quiet():
            found = self.client.executions.list(include_system_workflows=True, _get_all_results=True)
            return not any(execution['status'] in ACTIVE for execution in found)
        self.until(quiet)

    def ended(self, execution):
        """Waits for the end of an execution; the execution then."""
        self.until(lambda: self.client.executions.get(execution['id'])['status'] not in ACTIVE)
        return self.client.executions.get(execution['id'])

    def settled(self, result):
        self.settle()
        return result


def zipped(files):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, 'w') as out:
        for name, content in files.items():
            out.writestr(name, content)
    return packed.getvalue()
