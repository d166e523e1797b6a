"""Writes the front page: the title, then a line from every page in the list."""
import os

from cloudify import ctx
from cloudify.state import ctx_parameters as inputs

pages = sorted(ctx.instance.runtime_properties['pages'])
path = os.path.join(os.path.dirname(pages[0]), 'front-page.txt')
with open(path, 'w') as front_page:
    front_page.write('{0}\n\n'.format(inputs['title']))
    for page in pages:
        with open(page) as text:
            front_page.write(text.read())

ctx.instance.runtime_properties['path'] = path
ctx.logger.info('The front page lists %d pages', len(pages))
