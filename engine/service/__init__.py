"""One method per Docker verb: load, decide, append; the supervisor is woken by the log itself.

    engine.py      all of the below, as the API sees them
    containers.py  create, start, stop, remove …      execs.py     additional processes
    orders.py      wait until an order has had its effect
    files.py       copy, export and compare files     commits.py   images made of containers
    updates.py     limits and restart policies        names.py     names for containers without one
    images.py      content and references             registries.py pull and push
    networks.py    create, connect, remove            prunes.py    remove what nobody uses
    arrivals.py    content until its events are recorded

Knows ``supervisor``, ``queries``, ``store``, ``domain``, ``ports`` and ``errors``; neither HTTP nor
any driver.
"""
