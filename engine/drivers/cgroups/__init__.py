"""Cgroups: version 1, version 2 and both together, behind one driver."""
