"""What every value of a drill file is made of: fixed, strict, named."""

import msgspec


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mapping of a drill file: an unknown key is an error."""
