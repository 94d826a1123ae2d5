"""What an answer's head says about what follows it: where its body ends, or that HTTP ends here.

Why: the answer is framed anew towards the client, so a coding that isn't understood can't be passed
on; and a connection that one side takes for a tunnel and the other for HTTP is how one client's
request becomes another's answer.
Source: RFC 9112 6.3 (length), RFC 9110 7.8 (Upgrade), RFC 6455 4.1 (what a 101 must say).
Not handled: ``Sec-WebSocket-Accept``, which the client checks.
"""

import httptools

from lb.l7.headers import Headers, connection_tokens


def check_switch(headers: Headers) -> None:
    """Look at a 101 that was asked for.

    Raises:
        HttpParserError: It agrees to anything but WebSocket alone, or says that it has a body.
    """
    agreed: list[bytes] = []
    tokens: set[bytes] = set()
    for name, value in headers:
        key = name.lower()
        if key == b"upgrade":
            agreed.append(value.strip().lower())
        elif key == b"connection":
            tokens |= connection_tokens(value)
    if agreed != [b"websocket"] or b"upgrade" not in tokens or any(framing(headers)):
        raise httptools.HttpParserError("a 101 that doesn't agree to websocket")


def framing(headers: Headers) -> tuple[bool, bool]:
    """Return whether the answer is chunked, and whether it has a length.

    Raises:
        HttpParserError: A coding we can't pass on, since we write the chunks anew.
    """
    is_chunked = has_length = False
    for name, value in headers:
        key = name.lower()
        if key == b"transfer-encoding":
            if is_chunked or value.strip().lower() != b"chunked":
                raise httptools.HttpParserError(f"transfer-encoding {value!r}")
            is_chunked = True
        elif key == b"content-length":
            has_length = True
    return is_chunked, has_length
