"""Test a real daemon on the real kernel with faults of every kind: no crash or error loses or
leaves behind anything.
"""
