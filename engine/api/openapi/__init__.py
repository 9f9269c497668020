"""Describe the API by OpenAPI 3.1, and serve that at ``GET /openapi.json``.

Nothing is written twice: a route carries its :class:`~engine.api.http.operations.Operation`,
and msgspec knows the fields of each type. The tests hold every answer of every daemon under test
against this description.

    description.py  routes and types → document
    serving.py      the endpoint
"""
