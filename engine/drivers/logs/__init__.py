"""Read what containers have written, over all files of a log and as it is written.

query.py   reads a log in blocks
files.py   the files of a rotated log
follow.py  follows a log until the container has exited
replay.py  replays a log to a client who attaches
"""
