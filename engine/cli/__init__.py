"""The command ``shipslog``: one request to the engine, in the words a Docker user's fingers know.

It speaks the Docker Engine API over a Unix socket (or plain TCP), and Shipslog's own paths for history, time travel and
verification; it has no other way into the engine. Everything here is the standard library, and little of that:
``argparse``, ``http.client``, ``dataclasses`` and ``pathlib`` cost more to import than a command may take, so options,
HTTP/1.1 and templates are small modules of our own, and each verb's module is imported only when the verb is used.

May import: the standard library. Prints through ``output.py`` alone.
"""
