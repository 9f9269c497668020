"""Images: state, events, configs and references.

state.py      an image and its events
config.py     the config, whose digest is the image's ID
reference.py  references: grammar and short forms
removal.py    finds images by reference; rules of removal
saving.py     which images and tags ``docker save`` writes
sizes.py      sizes that images share
registry.py   addresses of registries, and the event of a login
"""
