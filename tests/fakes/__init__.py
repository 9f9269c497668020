"""Implement ports in memory, for tests of the API and of the supervisor.

``tests/contract`` holds each of them, and the driver that it stands for, to the same assertions.
"""
