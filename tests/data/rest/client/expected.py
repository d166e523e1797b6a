"""What calls are expected to come to: a predicate on the result, or a refusal."""
from cloudify_rest_client.exceptions import CloudifyClientError


class Refused:
    """The manager refuses the call with this status and code."""

    def __init__(self, status, code):
        self.status, self.code = status, code

    def __str__(self):
        return f'{self.status} {self.code}'


def check(call, expected):
    """Calls, and gives what is wrong with the outcome."""
    try:
        result = call()
    except CloudifyClientError as error:
        if not isinstance(expected, Refused):
            return f'{error.status_code} {error.error_code}: {error}'
        if (error.status_code, error.error_code) == (expected.status, expected.code):
            return None
        return f'{expected} is expected, {error.status_code} {error.error_code} came: {error}'
    if isinstance(expected, Refused):
        return f'{expected} is expected, not {short(result)}'
    return None if expected(result) else f'unexpected: {short(result)}'


def short(result):
    text = repr(result)
    return text if len(text) < 500 else text[:500] + '...'


def done(result):
    """The method gives nothing."""
    return result is None


def anything(result):
    return True


def value(wanted):
    return lambda result: result == wanted


def shows(**fields):
    """A resource, or what was made of one, with at least these fields."""
    return lambda result: all(name in result and result[name] == fields[name] for name in fields)


def has(*names):
    return lambda result: all(name in result for name in names)


def page(*ids, key='id'):
    """A list that holds these among others, and counts right."""
    def is_page(result):
        found = [item[key] for item in result.items]
        total = result.metadata.pagination['total']
        return set(ids) <= set(found) and total == len(found)
    return is_page


def texts(*wanted):
    return lambda result: set(wanted) <= set(result.items)


def dumped(*ids, key='id'):
    """A dump that holds these among others; members may be inside of what names their source."""
    def is_dump(result):
        found = [item.get('__entity', item)[key] for item in result]
        return set(ids) <= set(found)
    return is_dump


def of(*parts):
    """The result as a list has exactly as many members, each as expected."""
    def is_of(result):
        members = list(result or [])
        return len(members) == len(parts) and all(part(member) for part, member in zip(parts, members))
    return is_of


NOT_FOUND = Refused(404, 'not_found_error')
BAD = Refused(400, 'bad_parameters_error')
CONFLICT = Refused(409, 'conflict_error')
