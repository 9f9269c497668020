"""The pure floor: what a container *means*.

No I/O, no clock, no dice: time and fresh IDs arrive as arguments. Imports nothing of the engine but ``errors``.
"""
