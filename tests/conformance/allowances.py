"""Where the document is not to be taken literally: each entry says why. Nothing else is allowed for."""

from typing import Final

from tests.conformance.schema import Schema

_TEXT: Final[Schema] = {"type": "string"}

FIELDS: Final[dict[str, dict[str, Schema]]] = {
    "EventMessage": {
        "seq": {
            "type": "integer",
            "format": "int64",
            "minimum": 1,
        },  # ours: to resume without a gap
        # Docker sends these up to API 1.51, and docker-py and compose read them; the document has dropped them.
        "status": _TEXT,
        "id": _TEXT,
        "from": _TEXT,
    },
}
"""Fields that the document lacks, by definition."""

NULLABLE: Final[dict[str, frozenset[str]]] = {
    "ContainerConfig": frozenset({"Healthcheck"}),
    "ExecInspectResponse": frozenset({"ExitCode"}),
    "HostConfig": frozenset({"MemorySwappiness", "OomKillDisable", "Init"}),
}
"""Fields that are pointers in Moby's types, without ``omitempty``, and so null when nothing was asked or has happened."""

STATUSES: Final[dict[int, str]] = {
    400: "Docker refuses any malformed request so; the document says it of some paths only",
    503: "the log cannot be written: the disk is full, or the daemon is about to end",
    501: "what this engine does not do yet, with a message",
}
"""Statuses that any operation may answer with."""

_NO_IMAGE: Final = "there is no such image; the document knows that of other paths"
_NOT_RUNNING: Final = (
    "Docker's answer when the container does not run; the document has forgotten it"
)

MORE_STATUSES: Final[dict[str, dict[int, str]]] = {
    "GET /containers/json": {404: "a container that ``before`` or ``since`` names is not there"},
    "GET /images/get": {404: _NO_IMAGE},
    "GET /images/{name}/get": {404: _NO_IMAGE},
    "GET /containers/{id}/top": {409: _NOT_RUNNING},
    "GET /images/json": {404: "an image that ``before`` or ``since`` names is not there"},
    "POST /containers/{id}/attach": {409: "it is paused, or being removed"},
    "POST /containers/{id}/pause": {409: _NOT_RUNNING},
    "POST /containers/{id}/resize": {409: _NOT_RUNNING},
    "POST /containers/{id}/start": {
        403: "the address that it asks for is somebody's; Docker says so, the document does not",
        409: "it is paused, or being removed",
    },
    "POST /containers/{id}/unpause": {409: "it is not paused"},
    "POST /containers/{id}/update": {409: "it contradicts what is there, or the kernel refuses"},
    "POST /networks/create": {409: "the name is taken; Docker says so, the document does not"},
    "POST /networks/{id}/connect": {409: "the container is being removed"},
    "POST /exec/{id}/start": {
        101: "as the document has it for attach; Docker and its clients do it here too"
    },
}
"""Statuses by operation."""

BODIES: Final[dict[str, str]] = {
    "POST /images/create": "CreateImageInfo",
    "POST /images/load": "BuildInfo",
}
"""Definitions of bodies that the document leaves without a schema, by operation: what clients decode them as."""
