"""Dockerfile instructions that change an image's config.

instructions.py  the instructions
words.py         splits and unquotes a line, and fills in variables
healthcheck.py   ``HEALTHCHECK``
"""
