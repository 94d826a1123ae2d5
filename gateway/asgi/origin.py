"""Origin guard: a page of another site may not change anything here.

Why: the front door listens on 127.0.0.1, which every browser on the machine can reach, and with it
every page that is open in one. Browsers name the page's origin on each cross-site POST; and a site
that lets its own name point at 127.0.0.1 (DNS rebinding) is known by the Host it must then send.
Source: OWASP, "Cross-Site Request Forgery Prevention", verifying origin with standard headers.
Not handled: clients that aren't browsers send neither header and are let through.
"""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from resilience.asgi.types import ASGIApp, Receive, Scope, Send
from resilience.errors import Code, ServiceError

ORIGIN_FORBIDDEN = "ORIGIN_FORBIDDEN"
HOST_FORBIDDEN = "HOST_FORBIDDEN"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LOCAL_SUFFIXES = (".localhost", ".squall_default")  # RFC 6761; the lab's own container network


class OriginGuardMiddleware:
    """Refuse state-changing requests that a foreign page sent.

    Args:
        app: The application behind.

    Raises (towards the layers in front):
        ServiceError: ``ORIGIN_FORBIDDEN``, ``HOST_FORBIDDEN``; both 403.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in SAFE_METHODS:
            check_origin(scope["headers"])
        await self._app(scope, receive, send)


def check_origin(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse a foreign Origin, and a Host that can't be this lab's.

    Raises:
        ServiceError: ``ORIGIN_FORBIDDEN``, ``HOST_FORBIDDEN``.
    """
    host, origin, site = "", None, ""
    for name, value in headers:
        if name == b"host":
            host = value.decode("latin-1").lower()
        elif name == b"origin":
            origin = value.decode("latin-1").lower()
        elif name == b"sec-fetch-site":
            site = value.decode("latin-1").lower()
    if not is_local_host(host):
        raise _forbidden(HOST_FORBIDDEN, "the Host header names none of this lab's addresses")
    if site == "cross-site" or (origin is not None and _authority(origin) != host):
        raise _forbidden(ORIGIN_FORBIDDEN, "a page of another origin may not change anything here")


def is_local_host(host: str) -> bool:
    """Whether a Host header can be ours: an address, or a name without a dot.

    A rebinding site needs a name of its own in the public DNS, and those have a dot.
    """
    name = _name(host)
    if name is None:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in name or name.endswith(LOCAL_SUFFIXES)
    return True


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _authority(origin: str) -> str | None:
    """Return an origin's host and port as a Host header has them; None for ``null``."""
    scheme, separator, authority = origin.partition("://")
    return authority if separator and scheme in ("http", "https") else None


def _forbidden(reason: str, message: str) -> ServiceError:
    return ServiceError(Code.PERMISSION_DENIED, reason, message)
