"""Errors of the HTTP API, worded as Toxiproxy words them, so that its clients know them.

Source: Shopify/toxiproxy: api.go (``ApiError`` and the list of errors).
"""

from http import HTTPStatus


class ApiError(Exception):
    """What is answered: ``{"error": ..., "status": ...}``."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status

    @property
    def body(self) -> dict[str, object]:
        """As plain JSON."""
        return {"error": str(self), "status": int(self.status)}


def bad_body(detail: str) -> ApiError:
    """The body says something that can't be."""
    return ApiError(HTTPStatus.BAD_REQUEST, f"bad request body: {detail}")


def missing_field(name: str) -> ApiError:
    """The body leaves something out."""
    return ApiError(HTTPStatus.BAD_REQUEST, f"missing required field: {name}")


def proxy_not_found(name: str, advice: str) -> ApiError:
    """No proxy of that name."""
    return ApiError(HTTPStatus.NOT_FOUND, f"proxy not found: {name!r}: {advice}")


def proxy_exists(name: str) -> ApiError:
    """Another proxy has that name."""
    return ApiError(HTTPStatus.CONFLICT, f"proxy already exists: {name!r}")


def toxic_not_found(name: str) -> ApiError:
    """The proxy has no toxic of that name."""
    return ApiError(HTTPStatus.NOT_FOUND, f"toxic not found: {name!r}")


def toxic_exists(name: str) -> ApiError:
    """The proxy has a toxic of that name."""
    return ApiError(HTTPStatus.CONFLICT, f"toxic already exists: {name!r}")


def invalid_type(kind: str, advice: str) -> ApiError:
    """There is no such toxic."""
    return ApiError(HTTPStatus.BAD_REQUEST, f"invalid toxic type: {kind!r}: {advice}")


def invalid_stream(stream: str) -> ApiError:
    """There is no such direction."""
    return ApiError(
        HTTPStatus.BAD_REQUEST,
        f"stream was invalid, can be either upstream or downstream: {stream!r}",
    )


def forbidden(message: str) -> ApiError:
    """It exists, and isn't for changing here."""
    return ApiError(HTTPStatus.FORBIDDEN, message)
