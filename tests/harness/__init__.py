"""A real daemon under test: started, killed, asked over its socket, and held against what the
kernel says.

conditions.py        waiting for what should happen
client.py            the API, as plainly as can be
daemon.py            one daemon with roots of its own
kernel_inventory.py  everything it owns in the kernel, and what is wrong about that
image_archives.py    archives of images, as docker save writes them
recording.py         has the daemon write down its answers, which tests/conformance judges

May be imported by every test that has left the host (the fixture ``throwaway_namespaces``): a
daemon inherits the network and mounts of the test process.
"""
