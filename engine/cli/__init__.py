"""The command ``shipslog``: one request to the engine, with the options that Docker's users know.

It speaks the Docker Engine API over a Unix socket or TCP, and Shipslog's own paths for history,
time travel and verification. It imports little of the standard library, and of the engine what
imports as little: ``argparse``, ``http.client``, ``dataclasses`` and ``pathlib`` take longer to
import than a command may take. Options, HTTP/1.1 and templates are small modules of our own, and
the module of a verb is imported only when the verb is used.

    __main__.py         global options, one verb, exit codes
    verbs.py            verb → module
    command.py          usage, options and function of a verb
    flags.py            parses options as Go's pflag does
    usage.py            help texts
    run.py              run, create
    container_flags.py  the options of run and create
    container_body.py   options → body of create
    environment.py      ``-e``, ``--env-file``, ``-l``
    mounts.py           ``-v``, ``--mount``, ``--tmpfs``
    ports.py            ``-p``
    lifecycle.py        stop, kill, restart, pause, unpause, wait, rename, rm, prune
    attach.py           attach, start
    execute.py          exec
    update.py           update
    containers.py       ps
    inspection.py       inspect
    logs.py             logs
    events.py           events
    processes.py        top, port
    copying.py          cp
    exporting.py        export, diff
    images.py           images, rmi, import, load, tag
    committing.py       commit, save
    builtin_image.py    makes an image of the distribution's busybox
    networks.py         network
    address_pools.py    subnets, ranges and gateways of a network
    history.py          history
    verification.py     verify
    information.py      info
    version.py          version
    quickstart.py       quickstart
    own_daemon.py       a daemon in a temporary directory, for quickstart
    engine.py           requests to the engine, answers from it
    connection.py       one HTTP/1.1 connection
    secrecy.py          options and variables for TLS
    tls.py              TLS to an engine
    session.py          a user at a container: streams, terminal, signals, exit code
    streams.py          copies bytes between user and container
    terminal.py         raw mode of the user's terminal
    signals.py          signals as readable bytes
    waiting.py          waits for a container, over a restart of the daemon too
    questions.py        asks before something is deleted
    output.py           writes to standard output and standard error
    tables.py           table or template: ``--format``
    columns.py          aligned columns
    template            Go's text/template
    filters.py          ``--filter``
    times.py            points in time
    units.py            sizes and durations
    failures.py         the ways a command can fail
"""
