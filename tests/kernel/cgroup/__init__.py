"""Test that cgroups do what the driver promises, in whichever version this machine has, and that
nothing is left behind.
"""
