"""Containers: state, events and the rules for both.

state.py                 a container as its events have made it
evolution.py             how each event changes it
run_changes.py           … those of its runs
order_changes.py         … those of its orders
phases.py                the phases of its life
events.py                its events
decisions.py             (state, command) → events, or a refusal
spec.py                  what was asked for at create
update.py                changes of limits and restart policy
resources.py             limits
resource_rules.py        which limits are refused or discarded
mounts.py                bind mounts and tmpfs
namespace_sharing.py     namespaces shared with the host or another container
attachment.py            a container's endpoints in networks, and their events
endpoints.py             chooses addresses
host_ports.py            chooses ports of the host
attachment_decisions.py  connect and disconnect
links.py                 links in the default network
etc_files.py             ``/etc/hosts``, ``/etc/hostname``, ``/etc/resolv.conf``
health.py                health checks
log_config.py            logging drivers and their options
oci.py                   a container → OCI runtime configuration
audit_events.py          events that change nothing: attach, copy, export
commit.py                what an image inherits from a container
detach_keys.py           the keys that end an attach
"""
