"""Convert the body of a create or update request to the domain's Spec, and back for inspect.

body.py             types of create's body
create.py           body and image config → Spec
program.py          command, environment, user
networking.py       network mode, endpoints, addresses
ports.py            exposed and published ports
mounts.py           Mounts
binds.py            Binds, Tmpfs, VolumesFrom
resources.py        limits
resources_body.py   types of the limits in bodies of create and update
security.py         SecurityOpt, masked and read-only paths
namespace_modes.py  namespaces shared with the host or another container
health.py           health checks
log_config.py       logging drivers and their options
platform.py         the platform parameter
"""
