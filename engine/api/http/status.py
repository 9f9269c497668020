"""Convert errors to status codes, by their kind."""

from collections.abc import Mapping
from typing import Final

import structlog

from engine.api.http.replies import Answer, json_answer
from engine.errors import EngineError, Kind

STATUS: Final[Mapping[Kind, int]] = {
    Kind.INVALID: 400,
    Kind.UNAUTHORIZED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.NOT_MODIFIED: 304,
    Kind.CONFLICT: 409,
    Kind.TOO_LARGE: 413,
    Kind.UNSUPPORTED: 501,
    Kind.UNAVAILABLE: 503,
    Kind.INTERNAL: 500,
}
assert STATUS.keys() == set(Kind)

_log = structlog.get_logger(__name__)


def error_answer(status: int, message: str) -> Answer:
    """Return an error as Docker's JSON."""
    return json_answer({"message": message}, status)


def answer_error(error: Exception, correlation: str) -> Answer:
    """Return the answer to an error; a fault of our own is logged here, once, and answered without
    its details.
    """
    if not isinstance(error, EngineError):
        _log.error("request_failed", exc_info=error)
        return error_answer(
            500, f"internal error; the daemon's log has more about request {correlation}"
        )
    if error.kind is Kind.NOT_MODIFIED:
        return Answer(304)
    if error.kind is Kind.INTERNAL:
        _log.error("request_failed", exc_info=error)
    return error_answer(STATUS[error.kind], str(error))
