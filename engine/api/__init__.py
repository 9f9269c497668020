"""The Docker Engine API over HTTP/1.1, and Shipslog's own paths beside it.

Translates and nothing else: bytes to requests, Docker's JSON to the domain's values, errors to status codes. Every
decision is taken below: it asks ``service`` and ``queries``, and speaks of the domain's values. It imports neither a driver nor
the supervisor nor the store.

    socket ── http ── http.router ── containers, exec, images, networks, system, events, history ── service
                          │                      │
                       openapi ─────────────── shapes

Each handler module registers its routes together with what they take and answer; ``openapi`` makes the description of that.
"""
