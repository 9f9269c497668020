"""Measure what the engine costs, beside the machine's cost of the same work without an engine.

    python -m tests.bench [NAME...] [--rounds N] [--reference unix:///PATH] [--list]

Prints numbers and asserts nothing: on a shared machine a timed test fails for reasons outside of
the engine. The numbers can be compared because they are measured in turn:

    for every round:   floor ─▶ ours ─▶ reference ─▶ floor ─▶ ours ─▶ …

so a noisy minute affects all alike. A figure is the median of its rounds, with the least and the
greatest in brackets.

    table.py     all benchmarks, with their targets      report.py     prints the table
    sampling.py  rounds, medians                         machine.py    processes without an engine
    subject.py   an engine that is measured              raw_http.py   cheap HTTP over a Unix socket
    place.py     namespaces for the daemon               daemon.py     the daemon in them

    soak.py      thousands of containers, ``python -m tests.bench soak [--lives N]``

    one.py  crowd.py  calls.py  memory.py  crash.py  streams.py  store.py  networks.py  client.py
                 the benchmarks; appending.py and auditing.py use a ledger for store.py

Needs root, a static busybox and, for some of the figures, the real ``docker`` command.
"""
