"""The Docker Engine API over HTTP/1.1, and Shipslog's own endpoints beside it.

This package translates: bytes to requests, Docker's JSON to the domain's values, errors to status
codes. Every decision is taken below, in ``engine.service``; answers come from there and from
``engine.queries``. Its folders import each other in one direction, as ``pyproject.toml`` says: what
several need is in ``containers`` or in the modules below. Each handler module registers its routes
together with what they take and answer, and ``openapi`` makes the description from that.

    http            HTTP/1.1, without any knowledge of containers
    containers      endpoints about containers
    execs           endpoints about execs
    images          endpoints about images
    networks        endpoints about networks
    system          endpoints about the engine
    events          ``/events``
    history         history, past states, verification
    unsupported     volumes, builds, plugins and swarm: there are none
    openapi         the description of the API

    application.py  all routes together
    answers.py      what several kinds of answers have in common
    filters.py      parses Docker's filters
    times.py        times and durations as Docker writes them
"""
