"""Run a real daemon under test: start and kill it, use its API, and compare its answers with the
kernel.

conditions.py        waits for conditions
client.py            a simple client of the API
daemon.py            one daemon with roots of its own
kernel_inventory.py  everything it owns in the kernel, and what is wrong with that
recording.py         makes the daemon record its answers, which tests/conformance checks
resource_usage.py    makes the daemon report what it holds
lives.py             starts and ends many containers
forked.py            forks a daemon from the test process
descriptor_limit.py  limits descriptors
hanging_mount.py     a file system that never answers

May be imported by every test with the fixture ``throwaway_namespaces``: a daemon inherits the
network and mount namespaces of the test process.
"""
