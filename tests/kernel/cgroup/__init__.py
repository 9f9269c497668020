"""Test that cgroups do what the driver documents, in whichever version this machine has, and that
nothing is left behind.
"""
