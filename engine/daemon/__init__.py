"""Put the packages together and run them: ``shipslogd``.

    __main__.py   the nursery tree                   wiring.py    the parts of a daemon, put together
    config.py     options and the TOML file          drivers.py   which driver answers what
    lock.py       one daemon for a data root         log_state.py what drivers ask about the log
    logs.py       structlog                          networks.py  the default networks
    limits.py     descriptors, the allocator         clock.py     the kernel's clocks
    listeners.py  sockets of the API                 socket_activation.py  sockets that systemd has opened
    notify.py     systemd's readiness and watchdog

The tree of nurseries; what is marked with * runs below the one root of background loops,
``engine.background``::

    main
    ├── guard          abandons a log that hangs during the shutdown; ends last
    ├── serving        the API's listeners and requests; ends first, and lets requests finish
    └── background     monitors (a reader* for each) · resolver keeper* · launcher keeper* · network watch*
                       sandbox pool* · trash* · watchdog* · collector of images* (once)
                       supervisor ─┬─ a worker for each container
                                   ├─ sweep*
                                   └─ health ─ a check* for each container that has one
"""
