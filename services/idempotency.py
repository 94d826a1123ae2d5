"""Idempotency keys: what makes a repeated write recognisable, said with one wording everywhere.

A key belongs to an account. With the same request it gives the first answer again; with another
one it is refused. How a service remembers is its data room's matter.
Source: draft-ietf-httpapi-idempotency-key-header; Stripe's API, "Idempotent requests".
"""

import re
from typing import NamedTuple

from resilience.errors import Code, ServiceError

IDEMPOTENCY_KEY_INVALID = "IDEMPOTENCY_KEY_INVALID"
IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
RECORD_TTL_S = 24 * 3600  # Stripe prunes idempotency keys after 24 hours

_KEY = re.compile(r"[\x20-\x7e]{1,128}", re.ASCII)


class IdempotencyKey(NamedTuple):
    """What makes a repeated request recognisable.

    Args:
        key: 1 to 128 printable ASCII characters of the client's choice, one account's own.
        fingerprint: Of the request that came with it, to notice a key used for another one.
    """

    key: str
    fingerprint: str


def read_key(key: str, fingerprint: str) -> IdempotencyKey | None:
    """Take what a request said; None for the empty key, which means none.

    Raises:
        ServiceError: ``IDEMPOTENCY_KEY_INVALID``.
    """
    if not key:
        return None
    if not _KEY.fullmatch(key):
        raise ServiceError(
            Code.INVALID_ARGUMENT,
            IDEMPOTENCY_KEY_INVALID,
            "an idempotency key has 1 to 128 printable ASCII characters",
        )
    return IdempotencyKey(key, fingerprint)


def key_reused() -> ServiceError:
    """Make the error of a key that came with another request before."""
    return ServiceError(
        Code.UNPROCESSABLE,
        IDEMPOTENCY_KEY_REUSED,
        "this idempotency key was used for another request: choose a new one",
    )
