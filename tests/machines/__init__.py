"""A host with containers among other computers, each a network namespace of its own, spoken to with
programs that people use.

    containers ── front  10.71.0.0/24, fd00:71::/64 ──┐
    containers ── back   10.72.0.0/24, fd00:72::/64 ──┤        ┌── wan  192.0.2.1, 2001:db8::1 ──── .2, ::2  client
    containers ── inner  10.73.0.0/24, fd00:73::/64 ──┼─ host ─┤
                  (internal)                          │        └── lab  198.51.100.1 ── bridge ──── .53      names
    containers ── apart  10.74.0.0/24 (no icc) ───────┘

The client and the server of names send to the host whatever they know no other way for: as machines
in a hostile neighbourhood would. Nothing leaves these namespaces.
"""
