"""Values as bytes and back: what a typed key holds.

A codec is a pair of functions, so that msgspec, pydantic or protobuf fit in as they are:
``Codec("video", msgspec.json.Encoder().encode, msgspec.json.Decoder(Video).decode)``.
"""

import json
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Codec(NamedTuple, Generic[T]):
    """How one type is stored.

    Args:
        name: For errors.
        encode: To bytes.
        decode: From bytes; raises ValueError for what isn't of the type.
    """

    name: str
    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]

    def read(self, raw: object, key: str) -> T:
        """Decode a reply.

        Raises:
            ValueError: It isn't of the type; key and value are named.
        """
        try:
            return self.decode(as_raw(raw))
        except ValueError as error:
            raise ValueError(f"{key}: {raw!r:.80} is not {self.name}: {error}") from error


def as_raw(reply: object) -> bytes:
    """Return a bulk reply as bytes; RESP3 gives scores as floats.

    Raises:
        ValueError: It is of another kind.
    """
    if isinstance(reply, bytes):
        return reply
    if isinstance(reply, int | float):
        return repr(reply).encode()
    raise ValueError(f"expected a value, got {reply!r:.80}")


def _to_json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


RAW: Codec[bytes] = Codec("bytes", bytes, bytes)
TEXT: Codec[str] = Codec("text", str.encode, bytes.decode)
INTEGER: Codec[int] = Codec("an integer", lambda value: b"%d" % value, int)
JSON: Codec[object] = Codec("JSON", _to_json, json.loads)
