"""Directories and writable layers of containers on the disk.

rootfs.py         what a container keeps between runs
layer_changes.py  compares a writable layer with the image
deferred_close.py closes descriptors when no thread uses them any more
propagation.py    mount propagation of bind sources
trees.py          measures and removes directory trees
trash.py          deletes in the background
spool.py          stores a request's body until it has arrived whole
files.py          writes files atomically
"""
