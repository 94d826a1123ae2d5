"""Transport: an httpx2 client whose calls pass a ``ClientPipeline``.

    transport = ResilientTransport(pipeline)
    async with httpx2.AsyncClient(transport=transport, base_url="http://prices") as client:
        answer = await client.get("/v1/tea")

Each attempt goes to the endpoint that the pipeline picked, under the URL's own ``Host`` and TLS
name, and carries request id, trace and baggage of the current Context and the time that remains
(``x-envoy-expected-rq-timeout-ms``). An answer of 400 or above is an error with its reason and
push-back (``errors``), so that retries, breaker and callers see what it means; ``raises=False``
hands the last such answer back as httpx2 does, for code that looks at ``status_code``.

What may be sent twice: methods that RFC 9110 (9.2.2) calls idempotent, and any request with an
``Idempotency-Key``, as long as its body can be read again. The body of an answer is read within the
attempt, so that the time limit, the bulkhead's place and the verdict cover all of it;
``buffers=False`` is for streams: they are judged by their head alone.

Source: httpx2 transports (AsyncBaseTransport.handle_async_request); Envoy for the header;
draft-ietf-httpapi-idempotency-key-header.
Not handled: plain (sync) clients; trio, which httpx2 speaks and a pipeline doesn't; unbuffered
answers together with hedging (the loser's would stay open).
"""

from functools import partial
from types import TracebackType
from typing import Self

import httpx2

from resilience.context import current
from resilience.httpx2.errors import CLIENT_ERROR, AnsweredError, from_response, from_transport
from resilience.pipeline import ClientPipeline
from resilience.propagation import inject
from resilience.wire import TIMEOUT_MS_HEADER, format_timeout_ms

IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
IDEMPOTENCY_KEY_HEADER = "idempotency-key"
SNI_EXTENSION = "sni_hostname"


class ResilientTransport(httpx2.AsyncBaseTransport):
    """Send each request of a client through one pipeline; one transport per dependency.

    Args:
        pipeline: Its picker names endpoints as ``host:port``.
        inner: What sends an attempt; None makes httpx2's own, which is closed with this one.
        raises: Whether an answer of 400 or above is raised as ``AnsweredError``.
        buffers: Whether an answer's body is read within the attempt.
        follows_picker: Whether an attempt goes to the picked endpoint; False keeps the URL's host,
            for a picker whose endpoint is only a name.

    Raises (from a call):
        Rejected: A guard refused; nothing was sent.
        DeadlineExpired: The request's time ran out.
        UpstreamError: The call failed; ``AnsweredError`` has the answer.
    """

    def __init__(
        self,
        pipeline: ClientPipeline,
        inner: httpx2.AsyncBaseTransport | None = None,
        *,
        raises: bool = True,
        buffers: bool = True,
        follows_picker: bool = True,
    ) -> None:
        self._pipeline = pipeline
        self._inner = inner or httpx2.AsyncHTTPTransport()
        self._raises = raises
        self._buffers = buffers
        self._follows_picker = follows_picker

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request as often as the pipeline's plan allows."""
        send = partial(self._send, request)
        try:
            return await self._pipeline.call(send, idempotent=may_repeat(request))
        except AnsweredError as error:
            if self._raises:
                raise
            answer = error.response
            assert isinstance(answer.stream, httpx2.AsyncByteStream)
            return _unread(answer, answer.stream)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._inner.__aexit__(exc_type, exc_value, traceback)

    async def _send(
        self, request: httpx2.Request, endpoint: str, timeout_s: float | None
    ) -> httpx2.Response:
        """Send one attempt, and raise what its answer means."""
        attempt = self._attempt(request, endpoint, timeout_s)
        try:
            response = await self._inner.handle_async_request(attempt)
            is_error = response.status_code >= CLIENT_ERROR
            if self._buffers or is_error:
                response = await _read(response)
        except httpx2.TransportError as error:
            raise from_transport(error) from error
        if is_error:
            await response.aread()
            raise from_response(response)
        return response

    def _attempt(
        self, request: httpx2.Request, endpoint: str, timeout_s: float | None
    ) -> httpx2.Request:
        """Copy a request: the same body, for that endpoint, with what crosses the hop."""
        headers = httpx2.Headers(request.headers)
        context = current()
        if context is not None:
            headers.update(inject(context))
        if timeout_s is not None:
            headers[TIMEOUT_MS_HEADER] = format_timeout_ms(timeout_s)
        url, extensions = request.url, request.extensions
        if self._follows_picker:
            place = httpx2.URL(f"{url.scheme}://{endpoint}")
            extensions = {SNI_EXTENSION: url.host, **extensions}
            url = url.copy_with(host=place.host, port=place.port)
        return httpx2.Request(
            request.method, url, headers=headers, stream=request.stream, extensions=extensions
        )

    def __repr__(self) -> str:
        return f"<ResilientTransport {self._pipeline!r}>"


def may_repeat(request: httpx2.Request) -> bool:
    """Whether sending a request twice does no harm, and its body can be read twice."""
    is_safe = request.method in IDEMPOTENT_METHODS or IDEMPOTENCY_KEY_HEADER in request.headers
    return is_safe and isinstance(request.stream, httpx2.ByteStream)


async def _read(response: httpx2.Response) -> httpx2.Response:
    """Read an answer to its end, undecoded, and make one that looks as if it had just come."""
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    try:
        raw = b"".join([part async for part in response.stream])
    finally:
        await response.aclose()
    return _unread(response, httpx2.ByteStream(raw))


def _unread(response: httpx2.Response, body: httpx2.AsyncByteStream) -> httpx2.Response:
    """Copy an answer whose body is to be read by whoever gets it."""
    return httpx2.Response(
        response.status_code,
        headers=response.headers,
        stream=body,
        extensions=response.extensions,
    )
