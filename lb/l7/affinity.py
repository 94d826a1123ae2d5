"""Where a request belongs: the key it is placed by, and the cookie that keeps a client's backend.

Why two: a key (who asks, what for) places requests so that a backend's cache is of use, and moves
them as backends come and go; a sticky cookie keeps a client where its session is, and says so to
the client, so no table is kept and any proxy of the fleet understands it.
Source: nginx ``hash $key`` and ``sticky cookie``; HAProxy ``cookie NAME insert indirect``, where
``indirect`` means that the backend doesn't see the cookie; here it does. What the value is, and
who goes where: ``lb.policy.sticky``.
Not handled: ``Cache-Control`` on answers that carry the cookie (what is public should not be behind
a sticky cookie); a key and a sticky cookie at once.
"""

import re
from collections.abc import Callable, Iterator
from typing import Literal

from kit.source import DataPath
from kit.source_types import Part
from lb.l7.headers import Headers
from lb.policy.sticky import MAX_SECRET_BYTES, MIN_SECRET_BYTES, endpoint_cookie

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 5.6.2: a token
_PATH = re.compile(r"/[!-:<-~]*")  # RFC 6265 4.1.1: no control character, no semicolon


class KeyOptions(Part, frozen=True):
    """What of a request is its key: one of the three.

    Args:
        header: A header's value, by its name.
        cookie: A cookie's value, by its name.
        path: The path without its query.
    """

    header: str = ""
    cookie: str = ""
    path: bool = False

    @property
    def is_named(self) -> bool:
        """Whether there is a key."""
        return bool(self.header or self.cookie or self.path)


class StickyOptions(Part, frozen=True):
    """The sticky cookie; without a name there is none.

    Args:
        cookie: Its name.
        secret: 16 to 64 bytes, the same for all proxies of a fleet; what values are hashed with.
        path: What of the site it is for.
        max_age_s: Seconds that a client keeps it, >= 0; 0: until the browser is closed.
        secure: Whether it is for HTTPS only.
        same_site: Whether other sites' requests bring it, as RFC 6265bis has it.
    """

    cookie: str = ""
    secret: str = ""
    path: str = "/"
    max_age_s: int = 0
    secure: bool = False
    same_site: Literal["strict", "lax", "none"] = "lax"


def key_mistakes(options: KeyOptions, at: DataPath) -> Iterator[tuple[DataPath, str]]:
    """Name a key that is two, and names that are none."""
    if (options.header != "") + (options.cookie != "") + options.path > 1:
        yield at, "a key is one of header, cookie and path: name one"
    for field, text in (("header", options.header), ("cookie", options.cookie)):
        if text and not _NAME.fullmatch(text):
            yield (*at, field), f"{text!r} is no name of a {field}"


def sticky_mistakes(options: StickyOptions, at: DataPath) -> Iterator[tuple[DataPath, str]]:
    """Name what no browser would keep, and a secret that is none."""
    if not options.cookie:
        if options != StickyOptions():
            yield at, "a sticky cookie needs a name; write cookie: NAME"
        return
    if not _NAME.fullmatch(options.cookie):
        yield (*at, "cookie"), f"{options.cookie!r} is no name of a cookie"
    size = len(options.secret.encode())
    if not MIN_SECRET_BYTES <= size <= MAX_SECRET_BYTES:
        told = f"give {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES}, the same for the whole fleet"
        yield (*at, "secret"), f"secret has {size} bytes; {told}"
    if not _PATH.fullmatch(options.path):
        yield (*at, "path"), f"path is {options.path!r}; give one that begins with /"
    if options.max_age_s < 0:
        yield (*at, "max_age_s"), f"max_age_s is {options.max_age_s}; give 0 or more"
    if options.same_site == "none" and not options.secure:
        yield (*at, "same_site"), "browsers take none with secure: true only"


class Affinity:
    """Read the sticky cookie, and write it when the answer comes from somebody else.

    Args:
        options: With a cookie's name.
    """

    def __init__(self, options: StickyOptions) -> None:
        self._name = options.cookie.encode()
        self._secret = options.secret.encode()
        rest = f"; Path={options.path}; HttpOnly; SameSite={options.same_site.capitalize()}"
        rest += f"; Max-Age={options.max_age_s}" if options.max_age_s else ""
        self._rest = (rest + ("; Secure" if options.secure else "")).encode()

    def key_of(self, target: bytes, headers: Headers) -> str:
        """Return the cookie's value, "" without one; what ``lb.policy.sticky`` picks by."""
        return cookie_value(self._name, headers)

    def renewed(self, answer: Headers, request: Headers, endpoint: str) -> Headers:
        """Return the answer's headers, with the cookie when it names another than ``endpoint``."""
        value = endpoint_cookie(endpoint, self._secret)
        if cookie_value(self._name, request) == value:
            return answer
        return [*answer, (b"Set-Cookie", b"%b=%b%b" % (self._name, value.encode(), self._rest))]


def key_reader(options: KeyOptions) -> Callable[[bytes, Headers], str] | None:
    """Return what finds a request's key in its target and headers; None without a key.

    A request that doesn't have it has the key "", and goes to anyone.
    """
    if options.path:
        return lambda target, headers: target.partition(b"?")[0].decode("latin-1")
    if options.header:
        wanted = options.header.lower().encode()
        return lambda target, headers: next(
            (value.decode("latin-1") for name, value in headers if name.lower() == wanted), ""
        )
    if options.cookie:
        cookie = options.cookie.encode()
        return lambda target, headers: cookie_value(cookie, headers)
    return None


def cookie_value(wanted: bytes, headers: Headers) -> str:
    """Return a cookie's value, "" without one (RFC 6265 5.4: pairs with semicolons between)."""
    for name, value in headers:
        if name.lower() == b"cookie":
            for pair in value.split(b";"):
                found, equals, text = pair.strip().partition(b"=")
                if equals and found == wanted:
                    return text.decode("latin-1")
    return ""
