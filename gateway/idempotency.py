"""The Idempotency-Key header, read once for every route that takes one."""

from starlette.requests import Request

from resilience.errors import Code, ServiceError

IDEMPOTENCY_HEADER = "idempotency-key"  # draft-ietf-httpapi-idempotency-key-header
REPLAYED_HEADER = "idempotency-replayed"  # as Stripe names it
IDEMPOTENCY_KEY_INVALID = "IDEMPOTENCY_KEY_INVALID"


def read_key(request: Request) -> str:
    """Return the key, "" without one.

    Raises:
        ServiceError: ``IDEMPOTENCY_KEY_INVALID`` when the header is empty or sent twice.
    """
    keys = request.headers.getlist(IDEMPOTENCY_HEADER)
    if not keys:
        return ""
    if len(keys) > 1 or not keys[0].strip():
        raise ServiceError(
            Code.INVALID_ARGUMENT,
            IDEMPOTENCY_KEY_INVALID,
            "give one Idempotency-Key of 1 to 128 printable ASCII characters",
        )
    return keys[0].strip()


def replayed_header(replayed: bool) -> dict[str, str]:
    """Say that an answer is an earlier request's."""
    return {REPLAYED_HEADER: "true"} if replayed else {}
