"""Enters one page in the list the front page is made from."""
from cloudify import ctx

pages = ctx.source.instance.runtime_properties.get('pages') or []
pages.append(ctx.target.instance.runtime_properties['path'])
ctx.source.instance.runtime_properties['pages'] = pages
