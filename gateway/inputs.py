"""What clients send, checked once at the door: ids, page sizes, tokens, JSON bodies.

Rule: malformed (it can't be read) is 400, well-formed and wrong (a field too many, a wrong type) is
422. Every refusal names what it saw and what is allowed, and none is ever a 500.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec

from resilience.errors import Code, ServiceError

ID_INVALID = "ID_INVALID"
LIMIT_INVALID = "LIMIT_INVALID"
QUERY_INVALID = "QUERY_INVALID"
JSON_MALFORMED = "JSON_MALFORMED"
FIELD_UNKNOWN = "FIELD_UNKNOWN"
FIELD_MISSING = "FIELD_MISSING"
FIELD_INVALID = "FIELD_INVALID"
TOKEN_MISSING = "TOKEN_MISSING"  # noqa: S105  a reason's name, no secret
TOKEN_MALFORMED = "TOKEN_MALFORMED"  # noqa: S105  the same

MAX_LIMIT = 100
MAX_QUERY_FIELDS = 16  # a route knows two
QUOTE_CHARS = 40  # how much of a wrong value is shown back

_ID = re.compile(r"[1-9][0-9]{0,14}", re.ASCII)  # below 2**53, which JSON's readers keep exact
_LIMIT = re.compile(r"[0-9]{1,4}", re.ASCII)
_WEIGHT = re.compile(r"[01](\.[0-9]{0,3})?", re.ASCII)
_BEARER = re.compile(r"Bearer +([0-9a-f]{32})", re.ASCII | re.IGNORECASE)

T = TypeVar("T")


def parse_id(text: str, what: str) -> int:
    """Read an id from a path.

    Raises:
        ServiceError: ``ID_INVALID`` unless it is a whole number of 1 to 15 digits.
    """
    if not _ID.fullmatch(text):
        raise _bad(ID_INVALID, f"{_quote(text)} isn't a {what} id: give a whole number from 1")
    return int(text)


def parse_query(query: bytes) -> Mapping[str, str]:
    """Read a query string; of a repeated field the last one counts.

    Raises:
        ServiceError: ``QUERY_INVALID`` when it isn't UTF-8 or has more than 16 fields.
    """
    if not query:
        return {}
    try:
        return dict(
            parse_qsl(
                query.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MAX_QUERY_FIELDS,
            )
        )
    except ValueError as error:
        raise _bad(
            QUERY_INVALID, f"the query isn't UTF-8 of at most {MAX_QUERY_FIELDS} fields"
        ) from error


def parse_limit(query: Mapping[str, str]) -> int:
    """Read how many entries a page shall have; 0 when the client didn't say.

    Raises:
        ServiceError: ``LIMIT_INVALID`` outside of 1..100.
    """
    text = query.get("limit")
    if text is None:
        return 0
    if not _LIMIT.fullmatch(text) or not 1 <= int(text) <= MAX_LIMIT:
        raise _bad(LIMIT_INVALID, f"limit is {_quote(text)}: give 1 to {MAX_LIMIT}")
    return int(text)


def parse_token(authorization: str | None) -> str:
    """Read the session's token from an Authorization header.

    Raises:
        ServiceError: ``TOKEN_MISSING``, ``TOKEN_MALFORMED``; both 401.
    """
    if authorization is None:
        raise _unauthenticated(
            TOKEN_MISSING, "this needs a session: POST /v1/sessions, then Authorization: Bearer"
        )
    found = _BEARER.fullmatch(authorization.strip())
    if found is None:
        raise _unauthenticated(
            TOKEN_MALFORMED, "the Authorization header isn't Bearer and 32 hex digits"
        )
    return found[1].lower()


def parse_body(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Read a JSON body.

    Raises:
        ServiceError: 400 ``JSON_MALFORMED``; 422 ``FIELD_UNKNOWN``, ``FIELD_MISSING``,
            ``FIELD_INVALID``, with msgspec's words, which name the field.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise ServiceError(
            Code.UNPROCESSABLE, _field_reason(str(error)), f"the JSON body: {error}"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad(JSON_MALFORMED, "the body isn't well-formed JSON in UTF-8") from error


def wants_html(accept: str) -> bool:
    """Whether an Accept header prefers a page over JSON (RFC 9110, 12.5.1).

    A client that names no type gets JSON: ``curl`` sends ``*/*``. Of two equal ones HTML wins,
    since only who can show a page asks for one.
    """
    weights = dict(_weighted(part) for part in accept.lower().split(","))
    html = weights.get("text/html", 0.0)
    return html > 0.0 and html >= weights.get("application/json", 0.0)


def _weighted(part: str) -> tuple[str, float]:
    """Read one media range and its q, 1 when there is none and 0 when it is nonsense."""
    name, *parameters = (piece.strip() for piece in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            return name, float(parameter[2:]) if _WEIGHT.fullmatch(parameter[2:]) else 0.0
    return name, 1.0


def fingerprint(method: str, path: str, body: msgspec.Struct) -> str:
    """Say in 64 hex digits what a request asks for; blanks and order in its JSON don't matter."""
    text = b"%s %s %s" % (method.encode(), path.encode(), msgspec.json.encode(body))
    return hashlib.sha256(text).hexdigest()


def _field_reason(message: str) -> str:
    if "unknown field" in message:
        return FIELD_UNKNOWN
    return FIELD_MISSING if "missing required field" in message else FIELD_INVALID


def _quote(text: str) -> str:
    return repr(text if len(text) <= QUOTE_CHARS else text[:QUOTE_CHARS] + "…")


def _bad(reason: str, message: str) -> ServiceError:
    return ServiceError(Code.INVALID_ARGUMENT, reason, message)


def _unauthenticated(reason: str, message: str) -> ServiceError:
    return ServiceError(Code.UNAUTHENTICATED, reason, message)
