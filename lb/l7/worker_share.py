"""What one of several workers may take: counts of the file, divided by how many there are.

Why divided: the file says what the proxy may hold or let through, and whoever wrote it doesn't
think of processes. Workers don't ask each other, so each keeps to its part. The sum is what the
file says at most (with less than one each: one each), and a client whose connections all came to
one worker gets that worker's part alone.
Source: nginx divides nothing and says so ("worker_connections ... per worker"), HAProxy's nbproc
likewise; Envoy's circuit breakers are shared by its threads. Here the file's number holds.
"""

from collections.abc import Iterator, Mapping

import msgspec

from lb.l7.config import L7Config

DIVIDED: Mapping[str, tuple[str, ...]] = {
    "clients": ("connections", "connections_per_client", "client_rps", "client_burst"),
    "limits": ("backend_connections", "backend_pending"),
    "websocket": ("limit",),
}
"""Section to keys; besides, each backend's ``max_connections``."""


def share_of(config: L7Config, workers: int) -> L7Config:
    """Return the file as one of so many workers keeps to it.

    Counts are rounded down, to 1 at least; 0 stays 0, which is no limit; rates are divided exactly,
    and a burst is 1 at least.

    Args:
        config: The whole.
        workers: >= 1.
    """
    if workers == 1:
        return config
    sections = {
        section: msgspec.structs.replace(
            getattr(config, section),
            **{key: _part(getattr(getattr(config, section), key), key, workers) for key in keys},
        )
        for section, keys in DIVIDED.items()
    }
    backends = tuple(
        msgspec.structs.replace(one, max_connections=int(_part(one.max_connections, "", workers)))
        for one in config.backends
    )
    return msgspec.structs.replace(config, backends=backends, **sections)


def divided(whole: L7Config, share: L7Config) -> Iterator[tuple[str, float, float]]:
    """Name each limit that is another for a worker: where it stands, the whole, the part."""
    for section, keys in DIVIDED.items():
        for key in keys:
            before, after = (getattr(getattr(one, section), key) for one in (whole, share))
            if before != after:
                yield f"{section}.{key}", before, after
    for one, part in zip(whole.backends, share.backends, strict=True):
        if one.max_connections != part.max_connections:
            yield f"{one.instance}.max_connections", one.max_connections, part.max_connections


def _part(value: float, key: str, workers: int) -> float:
    if key == "client_rps" or not value:
        return value / workers
    if key == "client_burst":
        return max(1.0, value / workers)
    return max(1, int(value) // workers)
