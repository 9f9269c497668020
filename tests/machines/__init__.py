"""Test a host with containers among other computers, each a network namespace of its own, with
ordinary network programs.

    containers ── front  10.71.0.0/24, fd00:71::/64 ──┐
    containers ── back   10.72.0.0/24, fd00:72::/64 ──┤        ┌── wan  192.0.2.1, 2001:db8::1
    containers ── inner  10.73.0.0/24, fd00:73::/64 ──┼─ host ─┤         ── .2, ::2  client
                  (internal)                          │        └── lab  198.51.100.1 ── bridge
    containers ── apart  10.74.0.0/24 (no icc) ───────┘                  ── .53       name server

The client and the name server use the host as their default gateway, as hostile neighbours would.
No packet leaves these namespaces.
"""
