"""Execs: additional processes in a running container.

state.py  an exec, its events and decisions
oci.py    an exec → OCI process object
"""
