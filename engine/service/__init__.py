"""Decide what a client asks for, record it in the log, and wait for the outcome.

One method per Docker verb. The supervisor is woken by the log itself.

    containers     create, run, change and remove containers

    engine.py      everything below, as the API uses it
    execs.py       additional processes in containers
    files.py       copy, export and compare files of containers
    commits.py     images made of containers
    images.py      content and references
    arrivals.py    content until its events are recorded
    registries.py  logins
    networks.py    create, connect, remove
    prunes.py      remove what nobody uses

Knows ``supervisor``, ``queries``, ``store``, ``domain``, ``ports`` and ``errors``; neither HTTP nor
any driver.
"""
