"""Endpoints about containers: handlers, and the JSON that they take and return.

handlers.py          list, create, inspect, rename, remove, prune
lifecycle.py         start, stop, restart, kill, pause, unpause, wait
update.py            limits and restart policy of an existing container
streams.py           attach over HTTP, logs, resize, top
attach.py            an attached client's connection, after it has left HTTP
attach_websocket.py  attach for browsers
files.py             copy, export, diff
stats.py             resource usage, once or every second
filters.py           the filters of the list
context.py           what the JSON says beyond the container, now or in the past
sizes.py             sizes on disk, read only when asked for
show.py              container → the JSON of the list and of inspect
show_host_config.py  container → HostConfig of inspect
show_networks.py     container → its networks in the JSON of inspect
show_stats.py        samples → the JSON of stats
mount_points.py      mounts → the JSON of inspect
answers.py           types of the answers
inspections.py       the last answers to inspect, kept until something changes
inspect_answers.py   types of inspect's answer
file_answers.py      types of the answers about files
stats_answers.py     types of stats' answer
spec                 the body of create and update
"""
