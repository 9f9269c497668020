"""Copy, export and compare the files of containers.

port.py     LinuxContainerFiles: the port
paths.py    resolves paths inside a container
views.py    mounts a container's files where no process sees them
uploads.py  receives a tar whole before it is used
"""
