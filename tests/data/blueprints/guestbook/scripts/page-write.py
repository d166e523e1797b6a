"""Writes the page of one guest into the folder of the guest book."""
import os

from cloudify import ctx

folder = None
for relationship in ctx.instance.relationships:
    folder = relationship.target.instance.runtime_properties.get('folder', folder)

path = os.path.join(folder, '{0}.txt'.format(ctx.instance.id))
with open(path, 'w') as page:
    page.write('{0} {1}\n'.format(ctx.instance.id, ctx.node.properties['greeting']))

ctx.instance.runtime_properties['path'] = path
ctx.logger.info('Wrote %s', path)
