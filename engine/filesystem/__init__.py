"""Read and change directories that may be malicious.

    in_root.py  opens directories below a root without leaving it
    erase.py    deletes trees where they stand
    writing.py  writes whole contents

Used by drivers and by the command; imports ``runtime.linux`` and ``errors`` only.
"""
