"""What the engine costs, beside what the machine would charge for the same without an engine.

    python -m tests.bench [NAME...] [--rounds N] [--reference unix:///PATH] [--list]

Prints numbers and asserts nothing: on a shared machine a timed test fails for reasons that are not
ours. What makes the numbers worth reading is that they are taken together:

    for every round:   floor ─▶ ours ─▶ reference ─▶ floor ─▶ ours ─▶ …

so a noisy minute is everybody's. A figure is the median of its rounds, with the least and the
greatest in brackets.

    table.py     which benchmarks there are, and what they are held against      report.py     how that is shown
    sampling.py  rounds, medians                                                 machine.py    /proc, and processes without an engine
    subject.py   an engine that is measured                                      wire.py       HTTP over a Unix socket, as cheap as it gets
    place.py     namespaces that are gone afterwards                 daemon.py      the daemon in them

    soak.py      thousands of lives, ``python -m tests.bench soak [--lives N]``: what the daemon holds

    one.py  crowd.py  memory.py  crash.py  streams.py  store.py  client.py       the benchmarks

Needs root, a static busybox and, for some of the figures, the real ``docker`` command.
"""
