"""Stands where plugins of clouds look for what gives a new machine its agent (`ctx.agent.init_script()`): the
worker, which installs agents, is asked for it.
"""
import json
import os
import urllib.request

from cloudify import ctx
from cloudify.exceptions import NonRecoverableError

WORKER = 'STRATALOG_CTX_URL'


def init_script(cloudify_agent=None):
    """The script, or None for a host whose agent gets there another way. `cloudify_agent` goes before what else
    is said of the agent.
    """
    # what the plugin has set so far counts
    ctx.instance.update()
    return ask('agent', 'init_script', {'agent_config': cloudify_agent})


def install_script_download_link(cloudify_agent=None):
    """A path, of which there is none on this machine, and the address of such a script. The library of plugins
    makes `ctx.agent.install_script_download_link()` of it.
    """
    ctx.instance.update()
    return None, ask('agent', 'install_script_download_link', {'agent_config': cloudify_agent})


def ask(*args):
    url = os.environ.get(WORKER)
    if not url:
        raise NonRecoverableError('Only operations of a manager can have a script that installs an agent')
    body = json.dumps({'args': args}).encode()
    # whatever proxy the environment names, the worker is on this machine
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, body)) as answer:
        answer = json.load(answer)
    if answer['type'] != 'result':
        raise NonRecoverableError(answer['payload']['message'])
    return answer['payload']
