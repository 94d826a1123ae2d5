"""Toxiproxy's HTTP API: its routes, shapes, statuses and errors, over the lab's links.

Why: there are clients for it in every language, and people who know it by heart.
Source: Shopify/toxiproxy: README.md ("Endpoints"), api.go. As there, browsers are turned away, so
that no web page can reach it through the visitor.
Not handled: ``/metrics``; the admin port has the process's own.
"""

import random
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from faults.rule import nearest
from faults.wire.api.declared import DeclaredLink
from faults.wire.api.errors import (
    ApiError,
    bad_body,
    forbidden,
    missing_field,
    proxy_exists,
    proxy_not_found,
)
from faults.wire.api.free import FreeProxy
from faults.wire.api.toxics import ToxicInput, ToxicUpdate
from faults.wire.process import LinksProcess
from kit.errors import ConfigError, LabEnvironmentError
from kit.node import Node

PORT = 8474  # Toxiproxy's
VERSION = "2.12.0"  # of Toxiproxy, whose API this is
MAX_BODY_BYTES = 1_048_576

T = TypeVar("T")
AnyProxy = DeclaredLink | FreeProxy


class ProxyInput(msgspec.Struct):
    """The body of a request that makes or changes a proxy."""

    name: str = ""
    listen: str | None = None
    upstream: str | None = None
    enabled: bool | None = None


class ToxicsApi:
    """Answer the requests.

    Args:
        node: Ours.
        process: The links process.
    """

    def __init__(self, node: Node, process: LinksProcess) -> None:
        self._node = node
        self._process = process
        self._rng: random.Random = node.rng
        self._free: dict[str, FreeProxy] = {}
        proxy, toxics = "/proxies/{proxy}", "/proxies/{proxy}/toxics"
        self.app = Starlette(
            routes=[
                _route("/version", GET=self._version),
                _route("/reset", POST=self._reset),
                _route("/populate", POST=self._populate),
                _route("/proxies", GET=self._list, POST=self._create),
                _route(proxy, GET=self._show, POST=self._update, PATCH=self._update,
                       DELETE=self._delete),
                _route(toxics, GET=self._list_toxics, POST=self._add_toxic),
                _route(toxics + "/{toxic}", GET=self._show_toxic, POST=self._update_toxic,
                       PATCH=self._update_toxic, DELETE=self._delete_toxic),
            ],
            exception_handlers={HTTPException: _on_http_exception},
        )  # fmt: skip

    @property
    def _declared(self) -> dict[str, DeclaredLink]:
        """The links of now: a service of one's own may bring one."""
        links = self._process.overrides.links
        return {str(link): DeclaredLink(link, self._node, self._process) for link in links}

    def close(self) -> None:
        """End the free proxies."""
        for proxy in self._free.values():
            proxy.disable()

    async def _version(self, request: Request) -> Response:
        return _json({"version": VERSION})

    async def _list(self, request: Request) -> Response:
        proxies: dict[str, AnyProxy] = {**self._declared, **self._free}
        return _json({name: _shown(proxy) for name, proxy in proxies.items()})

    async def _create(self, request: Request) -> Response:
        given = await _read(request, ProxyInput)
        if not given.name:
            raise missing_field("name")
        if not given.upstream:
            raise missing_field("upstream")
        if given.name in self._declared or given.name in self._free:
            raise proxy_exists(given.name)
        return _json(_shown(self._make(given)), HTTPStatus.CREATED)

    async def _show(self, request: Request) -> Response:
        return _json(_shown(self._proxy(request)))

    async def _update(self, request: Request) -> Response:
        proxy = self._proxy(request)
        given = await _read(request, ProxyInput)
        if isinstance(proxy, DeclaredLink):
            proxy.refuse_move(given.listen, given.upstream)
            if given.enabled is not None:
                await proxy.enable(given.enabled)
        else:
            was_enabled = proxy.enabled
            proxy.move(given.listen or proxy.listen, given.upstream or proxy.upstream)
            _enable(proxy, was_enabled if given.enabled is None else given.enabled)
        return _json(_shown(proxy))

    async def _delete(self, request: Request) -> Response:
        proxy = self._proxy(request)
        if isinstance(proxy, DeclaredLink):
            raise forbidden(f"{proxy.name} is a link of the lab: remove its toxics instead")
        proxy.disable()
        del self._free[proxy.name]
        return _nothing()

    async def _list_toxics(self, request: Request) -> Response:
        return _json(self._proxy(request).toxics())

    async def _add_toxic(self, request: Request) -> Response:
        proxy = self._proxy(request)
        given = await _read(request, ToxicInput)
        if isinstance(proxy, DeclaredLink):
            return _json(await proxy.add(given))
        return _json(proxy.add(given))

    async def _show_toxic(self, request: Request) -> Response:
        return _json(self._proxy(request).toxic(request.path_params["toxic"]))

    async def _update_toxic(self, request: Request) -> Response:
        proxy, name = self._proxy(request), request.path_params["toxic"]
        given = await _read(request, ToxicUpdate)
        if isinstance(proxy, DeclaredLink):
            return _json(await proxy.change(name, given))
        return _json(proxy.change(name, given))

    async def _delete_toxic(self, request: Request) -> Response:
        proxy, name = self._proxy(request), request.path_params["toxic"]
        if isinstance(proxy, DeclaredLink):
            await proxy.remove(name)
        else:
            proxy.remove(name)
        return _nothing()

    async def _reset(self, request: Request) -> Response:
        for link in self._declared.values():
            await link.clear()
        for proxy in self._free.values():
            proxy.clear()
            proxy.enable()
        return _nothing()

    async def _populate(self, request: Request) -> Response:
        given = await _read(request, list[ProxyInput])
        for number, each in enumerate(given, start=1):  # all of them before anything changes
            if not each.name:
                raise missing_field(f"name at proxy {number}")
            if not each.upstream:
                raise missing_field(f"upstream at proxy {number}")
        return _json({"proxies": [_shown(self._have(each)) for each in given]}, HTTPStatus.CREATED)

    def _have(self, given: ProxyInput) -> AnyProxy:
        """Return a proxy as told, the one there is when it is like that."""
        declared = self._declared.get(given.name)
        if declared is not None:
            declared.refuse_move(given.listen, given.upstream)
            return declared
        proxy = self._free.get(given.name)
        if proxy is None:
            return self._make(given)
        if not proxy.is_at(given.listen or "", given.upstream or ""):
            proxy.clear()  # another proxy, which takes only the name
            proxy.move(given.listen or "", given.upstream or "")
        _enable(proxy, given.enabled is not False)
        return proxy

    def _make(self, given: ProxyInput) -> FreeProxy:
        proxy = FreeProxy(given.name, given.listen or "", given.upstream or "", self._rng)
        _enable(proxy, given.enabled is not False)
        self._free[given.name] = proxy
        return proxy

    def _proxy(self, request: Request) -> AnyProxy:
        name = request.path_params["proxy"]
        proxy = self._declared.get(name) or self._free.get(name)
        if proxy is None:
            raise proxy_not_found(name, nearest(name, (*self._declared, *self._free)))
        return proxy


Handler = Callable[[Request], Awaitable[Response]]


def _route(path: str, **handlers: Handler) -> Route:
    """Make a route that answers several methods, and every error as Toxiproxy does."""

    async def handle(request: Request) -> Response:
        if request.headers.get("user-agent", "").startswith("Mozilla/"):
            return _error(forbidden("User agent not allowed"))
        try:
            return await handlers["GET" if request.method == "HEAD" else request.method](request)
        except ApiError as error:
            return _error(error)
        except ConfigError as error:
            return _error(ApiError(HTTPStatus.BAD_REQUEST, str(error)))
        except LabEnvironmentError as error:
            return _error(ApiError(HTTPStatus.SERVICE_UNAVAILABLE, str(error)))

    return Route(path, handle, methods=list(handlers))


async def _read(request: Request, kind: type[T]) -> T:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is over 1 MiB")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:  # a wrong shape is one too
        raise bad_body(str(error)) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise bad_body("it is no JSON of a sane depth in UTF-8") from error


def _enable(proxy: FreeProxy, wanted: bool) -> None:
    if wanted:
        proxy.enable()
    else:
        proxy.disable()


def _shown(proxy: AnyProxy) -> dict[str, Any]:
    return {
        "name": proxy.name,
        "listen": proxy.listen,
        "upstream": proxy.upstream,
        "enabled": proxy.enabled,
        "toxics": proxy.toxics(),
    }


def _json(value: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def _nothing() -> Response:
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _error(error: ApiError) -> Response:
    return _json(error.body, error.status)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(ApiError(HTTPStatus(error.status_code), error.detail))
