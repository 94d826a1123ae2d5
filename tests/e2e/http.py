"""One HTTP request over a socket of its own, with what a test wants to know of the answer."""

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LIMIT_S = 10.0


@dataclass(frozen=True)
class Answer:
    """Status, headers (lower case, repeated ones joined), body, and the seconds it took."""

    status: int
    headers: dict[str, str]
    body: bytes
    took_s: float

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def ask(
    port: int,
    method: str,
    path: str,
    *,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    limit_s: float = LIMIT_S,
) -> Answer:
    """Send one request to 127.0.0.1; a body that isn't bytes goes as JSON.

    Raises:
        OSError: no answer, or only a part of one (what http.client calls IncompleteRead).
    """
    payload = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    sent = {"content-type": "application/json"} if payload is not None else {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=limit_s)
    began = time.perf_counter()
    try:
        connection.request(method, path, body=payload, headers={**sent, **(headers or {})})
        response = connection.getresponse()
        content = response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"{method} {path}: {error!r}") from error
    finally:
        connection.close()
    found: dict[str, str] = {}
    for name, value in response.getheaders():
        found[name.lower()] = ", ".join(filter(None, (found.get(name.lower()), value)))
    return Answer(response.status, found, content, time.perf_counter() - began)
