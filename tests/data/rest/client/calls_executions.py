"""Executions with their graphs, events, groups and schedules; agents, and updates of plugins."""
from expected import (BAD, CONFLICT, NOT_FOUND, Refused, anything, done, dumped, has, page, shows, value)

ILLEGAL = Refused(400, 'illegal_action_error')
STATUS = Refused(400, 'invalid_exception_status_update')


def run(w, workflow='install', **more):
    return w.ended(w.executions.start('spring', workflow, **more))


def forced(w, name, status):
    """An execution that nobody runs."""
    return w.executions.create('spring', 'install', force_status=status, execution_id=name)


def grouped(w, **more):
    group = w.execution_groups.start('seasons', 'check_status', **more)
    w.settle()
    return w.keep('group', w.execution_groups.get(group['id']))


def agent_of(w):
    instance = w.node_instances.list(deployment_id='spring', node_id='host')[0]
    return w.agents.create('a1', instance['id'], 'started', create_rabbitmq_user=False, install_method='remote',
                           rabbitmq_exchange='a1', ip='10.0.0.9')


def told(w, **more):
    return [event['message'] for event in w.events.list(execution_id='forced', **more)]


EXECUTIONS = [
    ('executions.start', lambda w: w.keep('run', run(w)), shows(status='terminated', deployment_id='spring')),
    ('executions.start', lambda w: w.executions.start('spring', 'dance'), Refused(400, 'nonexistent_workflow_error')),
    ('executions.start', lambda w: w.executions.start('spring', 'install', parameters={'a': 1}),
     Refused(400, 'illegal_execution_parameters_error')),
    ('executions.start', lambda w: w.executions.start('winter', 'install'), NOT_FOUND),
    ('executions.create', lambda w: w.executions.create('spring', 'check_status', schedule='2999-01-01T00:00:00Z'),
     shows(status='scheduled')),
    ('executions.create', lambda w: forced(w, 'forced', 'started'), shows(id='forced', status='started')),
    ('executions.get', lambda w: w.executions.get('forced', _include=['id', 'status_display']),
     value({'id': 'forced', 'status_display': 'started'})),
    ('executions.get', lambda w: w.executions.get('none'), NOT_FOUND),
    ('executions.list', lambda w: w.executions.list(deployment_id='spring', sort='created_at'), page('forced')),
    ('executions.list', lambda w: w.executions.list(status='dancing'), page()),
    ('executions.should_start', lambda w: w.executions.should_start('forced'), value(False)),
    ('executions.update', lambda w: w.executions.update('forced', 'failed', 'no luck'),
     shows(status='failed', error='no luck')),
    ('executions.update', lambda w: w.executions.update('forced', 'started'), STATUS),
    ('executions.cancel', lambda w: w.executions.cancel('forced'), ILLEGAL),
    ('executions.cancel', lambda w: w.executions.cancel(forced(w, 'second', 'started')['id']),
     shows(status='cancelling')),
    ('executions.cancel', lambda w: w.executions.cancel(forced(w, 'third', 'started')['id'], force=True),
     shows(status='force_cancelling')),
    ('executions.cancel', lambda w: w.executions.cancel(forced(w, 'fourth', 'started')['id'], kill=True),
     shows(status='kill_cancelling')),
    ('executions.resume', lambda w: w.ended(w.executions.resume('forced')), shows(resume=True)),
    ('executions.resume', lambda w: w.executions.resume(w['run']['id']), CONFLICT),
    ('executions.requeue', lambda w: w.executions.requeue(w['run']['id']), ILLEGAL),
    ('executions.dump', lambda w: w.keep('executions', list(w.executions.dump([w['run']['id']]))),
     lambda found: len(found) == 1),
    ('executions.restore', lambda w: w.executions.restore(
        [{**found, 'id': 'restored'} for found in w['executions']], w.log), done),
    ('executions.get', lambda w: w.executions.get('restored'), shows(status='terminated', workflow_id='install')),
    ('summary.executions.get', lambda w: w.summary.executions.get('deployment_id'),
     lambda found: 'spring' in [row['deployment_id'] for row in found]),
]

GRAPHS = [
    ('tasks_graphs.create', lambda w: w.keep('graph', w.tasks_graphs.create('forced', 'calls', operations=[
        {'id': 'o1', 'name': 'one', 'type': 'RemoteWorkflowTask', 'dependencies': [], 'parameters': {}}])),
     shows(name='calls', execution_id='forced')),
    ('tasks_graphs.create', lambda w: w.tasks_graphs.create('none', 'calls'), NOT_FOUND),
    ('tasks_graphs.list', lambda w: w.tasks_graphs.list('forced', 'calls'), page('calls', key='name')),
    ('tasks_graphs.update', lambda w: w.tasks_graphs.update(w['graph']['id'], 'started'), anything),
    ('tasks_graphs.update', lambda w: w.tasks_graphs.update('none', 'started'), NOT_FOUND),
    ('operations.create', lambda w: w.operations.create(
        'o2', w['graph']['id'], 'two', 'NOPLocalWorkflowTask', {}, ['o1']), shows(id='o2', dependencies=['o1'])),
    ('operations.list', lambda w: w.operations.list(graph_id=w['graph']['id']), page('o1', 'o2')),
    ('operations.list', lambda w: w.operations.list(execution_id='forced', skip_internal=True), page('o1')),
    ('operations.list', lambda w: w.operations.list(), BAD),
    ('operations.get', lambda w: w.operations.get('o1'), shows(name='one', state='pending')),
    ('operations.get', lambda w: w.operations.get('none'), NOT_FOUND),
    ('operations.update', lambda w: w.operations.update('o1', 'succeeded', result='fine'), anything),
    ('operations.update', lambda w: w.operations.update('none', 'succeeded'), NOT_FOUND),
    ('operations.get', lambda w: w.operations.get('o1'), shows(state='succeeded')),
    ('operations.dump', lambda w: w.keep('operations', list(w.operations.dump(['forced']))), dumped('o1', 'o2')),
    ('tasks_graphs.dump', lambda w: w.keep('graphs', list(w.tasks_graphs.dump(
        ['forced'], {'forced': [o['__entity'] for o in w['operations']]}))), dumped('calls', key='name')),
    ('operations.delete', lambda w: w.operations.delete('o2'), anything),
    ('operations.delete', lambda w: w.operations.delete('o2'), NOT_FOUND),
    ('tasks_graphs.restore', lambda w: w.tasks_graphs.restore(
        [{'id': 'graph-of-second', 'name': 'calls'}], w.log, 'second'), done),
    ('tasks_graphs.list', lambda w: w.tasks_graphs.list('second'), page('graph-of-second')),
]

EVENTS = [
    ('events.create', lambda w: w.events.create(
        events=[{'event_type': 'workflow_event', 'message': {'text': 'begins'}, 'context': {}}],
        logs=[{'logger': 'calls', 'level': 'info', 'message': {'text': 'careful'}, 'context': {}}],
        execution_id='forced'), done),
    ('events.create', lambda w: w.events.create(events=[{'event_type': 'x'}], execution_id='forced'), BAD),
    ('events.create', lambda w: w.events.create(events=[], logs=[]), CONFLICT),
    ('events.list', lambda w: told(w, include_logs=True, message='%gin%'), value(['begins'])),
    ('events.list', lambda w: told(w, include_logs=True, level='info', sort='timestamp'),
     lambda found: 'careful' in found),
    ('events.list', lambda w: w.events.list(colour='red'), BAD),
    ('events.get', lambda w: w.events.get('forced', include_logs=True),
     lambda found: 'begins' in [event['message'] for event in found[0]] and found[1] == len(found[0])),
    ('events.dump', lambda w: w.keep('events', list(w.events.dump(['forced'], include_logs=True))),
     dumped('begins', 'careful', key='message')),
    ('events.delete', lambda w: w.events.delete('spring', message='%gin%').items, lambda found: found[0] >= 1),
    ('events.list', lambda w: told(w, include_logs=True, message='%gin%'), value([])),
    ('events.delete', lambda w: w.events.delete('spring', include_logs=True).items, lambda found: found[0] > 1),
    ('events.delete', lambda w: w.events.delete('spring', include_logs=True).items, value([0])),
    ('events.restore', lambda w: w.events.restore(
        [e['__entity'] for e in w['events']], w.log, 'executions', 'forced'), done),
    ('events.list', lambda w: told(w, include_logs=True, message='begins'), value(['begins'])),
]

GROUPS = [
    ('execution_groups.start', grouped, shows(status='failed', concurrency=5)),
    ('execution_groups.start', lambda w: w.execution_groups.start('none', 'install'), NOT_FOUND),
    ('execution_groups.get', lambda w: w.execution_groups.get(w['group']['id']), has('execution_ids')),
    ('execution_groups.get', lambda w: w.execution_groups.get('none'), NOT_FOUND),
    ('execution_groups.list', lambda w: w.execution_groups.list(_get_data=True),
     page('seasons', key='deployment_group_id')),
    ('execution_groups.set_concurrency', lambda w: w.execution_groups.set_concurrency(w['group']['id'], 2),
     shows(concurrency=2)),
    ('execution_groups.set_target_group', lambda w: w.execution_groups.set_target_group(
        w['group']['id'], success_group='seasons'), anything),
    ('execution_groups.set_target_group', lambda w: w.execution_groups.set_target_group(
        w['group']['id'], success_group='none'), NOT_FOUND),
    ('execution_groups.cancel', lambda w: w.execution_groups.cancel(w['group']['id']), anything),
    ('execution_groups.resume', lambda w: w.execution_groups.resume(w['group']['id']), anything),
    ('execution_groups.dump', lambda w: w.keep('groups', list(w.execution_groups.dump())),
     lambda found: len(found) >= 1),
    ('execution_groups.create', lambda w: w.execution_groups.create(
        'seasons', 'check_status', w['group']['execution_ids'], id='made'), shows(id='made')),
    ('execution_groups.restore', lambda w: w.execution_groups.restore(
        [{**g, 'id': 'brought-back'} for g in w['groups'] if g['id'] == w['group']['id']], w.log), done),
    ('execution_groups.get', lambda w: w.execution_groups.get('brought-back'), shows(workflow_id='check_status')),
]

RULE = 'FREQ=DAILY;INTERVAL=1'
SCHEDULES = [
    ('execution_schedules.create', lambda w: w.execution_schedules.create(
        'nightly', 'spring', 'check_status', since='2999-01-01 00:00:00', rrule=RULE),
     shows(id='nightly', rule={'rrule': RULE}, enabled=True)),
    ('execution_schedules.create', lambda w: w.execution_schedules.create(
        'odd', 'spring', 'check_status', since='2999-01-01 00:00:00', recurrence='1 blue moon'), BAD),
    ('execution_schedules.create', lambda w: w.execution_schedules.create(
        'odd', 'spring', 'dance', since='2999-01-01 00:00:00', count=1),
     Refused(400, 'nonexistent_workflow_error')),
    ('execution_schedules.get', lambda w: w.execution_schedules.get('nightly', 'spring'),
     shows(workflow_id='check_status')),
    ('execution_schedules.get', lambda w: w.execution_schedules.get('none', 'spring'), NOT_FOUND),
    ('execution_schedules.list', lambda w: w.execution_schedules.list(deployment_id='spring', sort='created_at'),
     page('nightly')),
    ('execution_schedules.update', lambda w: w.execution_schedules.update('nightly', 'spring', enabled=False, slip=3),
     shows(enabled=False, slip=3)),
    ('summary.execution_schedules.get', lambda w: w.summary.execution_schedules.get('deployment_id'), anything),
    ('execution_schedules.dump', lambda w: w.keep('schedules', list(w.execution_schedules.dump(['nightly']))),
     dumped('nightly')),
    ('execution_schedules.delete', lambda w: w.execution_schedules.delete('nightly', 'spring'), done),
    ('execution_schedules.delete', lambda w: w.execution_schedules.delete('nightly', 'spring'), NOT_FOUND),
    ('execution_schedules.restore', lambda w: w.execution_schedules.restore(w['schedules'], w.log), done),
    ('execution_schedules.get', lambda w: w.execution_schedules.get('nightly', 'spring'), shows(enabled=False)),
]

AGENTS = [
    ('agents.create', agent_of, shows(id='a1', state='started', deployment_id='spring')),
    ('agents.create', lambda w: w.agents.create('a2', 'roof_9', 'started', False), NOT_FOUND),
    ('agents.get', lambda w: w.agents.get('a1'), shows(install_method='remote', ip='10.0.0.9')),
    ('agents.get', lambda w: w.agents.get('a9'), NOT_FOUND),
    ('agents.list', lambda w: w.agents.list(deployment_id='spring', sort='created_at'), page('a1')),
    ('agents.update', lambda w: w.agents.update('a1', 'stopped', version='7.0.5'),
     shows(state='stopped', version='7.0.5')),
    ('agents.update', lambda w: w.agents.update('a1', 'asleep'), BAD),
    ('agents.replace_ca_certs', lambda w: w.agents.replace_ca_certs(
        True, w.file('ca.pem', w['managers'][0]['ca_cert_content']), None), value({'number_of_updated_agents': 0})),
    ('agents.dump', lambda w: w.keep('agents', list(w.agents.dump(['spring']))), dumped('a1')),
    ('agents.restore', lambda w: w.agents.restore([], w.log), done),
]

PLUGINS = [
    ('plugins_update.update_plugins', lambda w: w.keep('update', w.settled(w.plugins_update.update_plugins('shop'))),
     shows(blueprint_id='shop', state='no_changes_required')),
    ('plugins_update.update_plugins', lambda w: w.plugins_update.update_plugins('none'), NOT_FOUND),
    ('plugins_update.get', lambda w: w.plugins_update.get(w['update']['id']), shows(forced=False)),
    ('plugins_update.get', lambda w: w.plugins_update.get('none'), NOT_FOUND),
    ('plugins_update.list', lambda w: w.plugins_update.list(sort='created_at'), page('shop', key='blueprint_id')),
    ('plugins_update.finalize_plugins_update', lambda w: w.plugins_update.finalize_plugins_update(w['update']['id']),
     anything),
    ('plugins_update.dump', lambda w: w.keep('updates', list(w.plugins_update.dump())),
     dumped('shop', key='blueprint_id')),
    ('plugins_update.inject', lambda w: w.plugins_update.inject(
        'shop', update_id='injected', state='successful', execution_id=w['update']['execution_id']),
     shows(id='injected', state='successful')),
    ('plugins_update.restore', lambda w: w.plugins_update.restore(
        [{**u, 'id': 'brought-back'} for u in w['updates']], w.log), done),
    ('plugins_update.get', lambda w: w.plugins_update.get('brought-back'), shows(state='no_changes_required')),
    ('executions.delete', lambda w: w.executions.delete(keep_last=1), anything),
]

LINES = EXECUTIONS + GRAPHS + EVENTS + GROUPS + SCHEDULES + AGENTS + PLUGINS
