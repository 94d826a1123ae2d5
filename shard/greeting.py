"""What a client says first on each connection: who it is and which RESP it speaks.

RESP2 is the default: every server speaks it. RESP3 is for who needs pushes (client tracking), or
maps and doubles as such; ``HELLO 3`` changes the shape of some replies (HGETALL a dict, ZSCORE a
float), which is why it is a choice.
Source: valkey: HELLO, AUTH, READONLY. "default" is the name that a password alone means.
Not handled: a password that changes while the client lives.
"""

import ssl
from dataclasses import dataclass, field
from typing import Literal

from shard.resp import pack

DEFAULT_USER = "default"
PING = pack(("PING",))


@dataclass(frozen=True, slots=True)
class Greeting:
    """How a connection begins.

    Args:
        protocol: 2 or 3: the RESP to speak. 3 needs a server of version 6 or newer.
        user: Name for AUTH; without a password it isn't sent.
        password: For AUTH; None sends none. It never shows in a repr.
        tls: Encrypt, by this context; None speaks plainly.
        is_reader: Say READONLY, by which a replica serves reads instead of redirecting them.
    """

    protocol: Literal[2, 3] = 2
    user: str = DEFAULT_USER
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None
    is_reader: bool = False

    def __post_init__(self) -> None:
        if self.protocol not in (2, 3):
            raise ValueError(f"protocol {self.protocol!r}: RESP is spoken as 2 or 3")

    def commands(self) -> list[bytes]:
        """Return what is sent, packed; the last is answered only by a node that serves."""
        said = []
        if self.protocol == 3:
            login = () if self.password is None else ("AUTH", self.user, self.password)
            said.append(pack(("HELLO", 3, *login)))
        elif self.password is not None:
            # AUTH with a name needs version 6; the default user's password alone, any.
            name = () if self.user == DEFAULT_USER else (self.user,)
            said.append(pack(("AUTH", *name, self.password)))
        if self.is_reader:
            said.append(pack(("READONLY",)))
        return [*said, PING]


PLAINLY = Greeting()
