"""Describes the API by OpenAPI 3.1, from the routes and the shapes that they name, and serves that at ``GET /openapi.json``.

Nothing is written twice: a route carries its :class:`~engine.api.http.operations.Operation`, msgspec knows the fields of each shape.
The tests hold every answer of every daemon under test against this description. May import ``api.http`` and ``api.shapes``.
"""
