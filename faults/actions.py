"""What the injector may decide to do to a request: plain values, carried out by ``faults.act``."""

from typing import NamedTuple, TypeAlias

from resilience.errors import Code


class Delay(NamedTuple):
    """Wait before going on."""

    fault: str
    seconds: float


class Fail(NamedTuple):
    """Answer with an error instead of serving."""

    fault: str
    code: Code


class Abort(NamedTuple):
    """Drop the connection or stream without an answer."""

    fault: str


class Block(NamedTuple):
    """Stop the whole event loop."""

    fault: str
    seconds: float


class Burn(NamedTuple):
    """Spend CPU before going on; seconds of CPU, not of time."""

    fault: str
    seconds: float


class Slow(NamedTuple):
    """Let the station take ``factor`` times as long over the request."""

    fault: str
    factor: float


Action: TypeAlias = Delay | Fail | Abort | Block | Burn | Slow
