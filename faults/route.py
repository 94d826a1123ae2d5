"""Whether a route pattern means a request: ``GET /v1/videos/{id}``, ``/v1/videos/{id}``, a method.

Why: a fault is told by the route a person reads in the documentation, before any framework has
matched the request. A part in braces stands for one path segment; a gRPC method may be given by its
last part.
"""

import re
from functools import lru_cache

_BRACES = re.compile(r"\{[^/{}]*\}")


def matches(pattern: str, route: str) -> bool:
    """Whether the pattern means the route.

    Args:
        pattern: What a rule says.
        route: ``GET /v1/videos/7`` for HTTP, ``/video.v1.VideoService/GetVideo`` for gRPC.
    """
    return pattern == route or _compile(pattern).fullmatch(route) is not None


@lru_cache(maxsize=256)
def _compile(pattern: str) -> re.Pattern[str]:
    method, _, path = pattern.rpartition(" ")
    literal = [re.escape(part) for part in _BRACES.split(path)]
    expression = "[^/?]+".join(literal)
    if path.startswith("/"):
        head = re.escape(method) + " " if method else r"(?:[A-Z]+ )?"
        return re.compile(head + expression)
    return re.compile(r"/[^/]+/" + expression)
