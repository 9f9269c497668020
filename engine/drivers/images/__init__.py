"""Images on the disk: blobs, layers, archives.

port.py       LinuxImages: the port
content.py    what comes in, what refers to what, what may be deleted
blobs.py      files named by their digest
layers.py     unpacked layers
pins.py       protects content from deletion until an event refers to it
uploads.py    receives an archive
archives.py   reads archives of images
unpack.py     tar → directory of a layer
layer_tar.py  writable layer → tar of a layer
save.py       writes an archive of images
"""
