"""The service under test: a real HTTP server of declared capacity, in a process of its own.

    Context ▸ deadline ▸ limiter (the contender's, or none) ▸ station of 5 workers

These are the layers and the pressure of the lab's gateway, without its routes. The station sleeps
for the times of the trace, so capacity does not depend on the machine, and CPU per request is that
of the layers. The parent talks to it over the standard streams:

    service: ready        parent: 1234.5 (when the trace begins, monotonic seconds)
    parent: end of file   service: its figures as one line of JSON; it ends

Why the streams: both ends see the other's death, and no port is needed for it.
Not handled: more than one process; a body.
"""

import argparse
import asyncio
import contextlib
import json
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import uvicorn
import uvloop

from bench.limiters.contenders import CONTENDERS, contender
from bench.limiters.trace import CVS, PHASES, SERVICE_S, WORKERS, Trace, load
from kit.pressure import Pressure
from kit.state import StationSetting
from kit.station import Station
from kit.station_schedule import StationSchedule
from kit.watchdog import Watchdog
from resilience.asgi.context import ContextMiddleware
from resilience.asgi.deadline import DeadlineMiddleware
from resilience.asgi.limiter import LimiterMiddleware
from resilience.asgi.types import HEALTH_PATHS, ASGIApp, Receive, Scope, Send
from resilience.context import current
from resilience.policy.contract import Gate
from resilience.switches import FixedSwitches

INSTANCE = "bench.1"
BODY = b"ok"
HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(BODY))]


class RecordedTimes(random.Random):
    """Hand the trace's service times to a station, one after the other, then from the start."""

    def __init__(self, services_s: Sequence[float]) -> None:
        super().__init__(0)
        self._services_s = services_s
        self._next = 0

    def gammavariate(self, alpha: float, beta: float) -> float:
        """Return the next recorded time, as many times as long as the asked mean is the usual."""
        service_s = self._services_s[self._next % len(self._services_s)]
        self._next += 1
        return service_s * (alpha * beta) / SERVICE_S


class Service:
    """The application; make it on the running loop.

    Args:
        trace: Its service times and cv.
        name: The contender whose gate it gets.
    """

    def __init__(self, trace: Trace, name: str) -> None:
        self._cv = trace.cv
        schedule = StationSchedule(self._setting(1.0), RecordedTimes(trace.services_s))
        self.station = Station(schedule)
        self.watchdog = Watchdog(lambda: pressure.tick())
        pressure = Pressure(
            self.station.busy_share, lambda: self.watchdog.lag_s, self.station.wait_s
        )
        make = contender(name).make
        self.gate: Gate | None = None if make is None else make(lambda: pressure.value)
        self.requests = 0
        self._cpu_from_s = 0.0
        self.app = self._layers()

    def begin(self, begin_s: float) -> None:
        """Follow the trace's phases from then on, and count CPU."""
        loop = asyncio.get_running_loop()
        for phase in PHASES:
            wait_s = begin_s + phase.begin_s - time.monotonic()
            loop.call_later(max(0.0, wait_s), self.station.set, self._setting(phase.slowness))
        self._cpu_from_s = time.process_time()

    def figures(self) -> dict[str, object]:
        """Return CPU and requests since ``begin``, and what the gate and the loop saw."""
        return {
            "cpu_s": time.process_time() - self._cpu_from_s,
            "requests": self.requests,
            "gate": {} if self.gate is None else dict(self.gate.snapshot()),
            "lag_p99_ms": self.watchdog.stats().p99_ms,
            "served": self.station.stats().done,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer health probes at once, and all else through the layers."""
        if scope["path"] in HEALTH_PATHS:
            await _answer(send)
            return
        self.requests += 1
        await self.app(scope, receive, send)

    def _layers(self) -> ASGIApp:
        switches = FixedSwitches()
        app: ASGIApp = self._work
        if self.gate is not None:
            app = LimiterMiddleware(app, self.gate, switches=switches, scope_name=INSTANCE)
        app = DeadlineMiddleware(app, switches=switches)
        return ContextMiddleware(app, instance=INSTANCE, switches=switches)

    async def _work(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = current()
        await self.station.serve(None if context is None else context.deadline_s)
        await _answer(send)

    def _setting(self, slowness: float) -> StationSetting:
        return StationSetting(WORKERS, SERVICE_S * slowness, self._cv)


async def _answer(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
    await send({"type": "http.response.body", "body": BODY})


class _Server(uvicorn.Server):
    """uvicorn without its signals: the standard streams say when to end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(listener: socket.socket, trace: Trace, name: str) -> dict[str, object]:
    """Serve until standard input ends; return the figures as they were at that moment."""
    service = Service(trace, name)
    config = uvicorn.Config(
        service, loop="none", http="httptools", ws="none", lifespan="off", interface="asgi3",
        access_log=False, log_config=None, proxy_headers=False, server_header=False,
    )  # fmt: skip
    server = _Server(config)
    loop = asyncio.get_running_loop()
    figures: dict[str, object] = {}

    def on_line(line: str) -> None:
        service.begin(float(line))

    def on_end() -> None:
        figures.update(service.figures())
        server.should_exit = server.force_exit = True

    service.watchdog.start()
    threading.Thread(target=_listen, args=(loop, on_line, on_end), daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await server.serve(sockets=[listener])
    service.watchdog.stop()
    return figures


def _listen(
    loop: asyncio.AbstractEventLoop, on_line: Callable[[str], None], on_end: Callable[[], None]
) -> None:
    for line in sys.stdin:
        loop.call_soon_threadsafe(on_line, line)
    loop.call_soon_threadsafe(on_end)


def main() -> None:
    """Serve on an inherited socket; started by ``bench.limiters.run``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fd", type=int, required=True, help="a bound TCP socket, inherited")
    parser.add_argument("--cv", type=float, choices=CVS, required=True)
    parser.add_argument("--limiter", choices=[one.name for one in CONTENDERS], required=True)
    args = parser.parse_args()
    listener = socket.socket(fileno=args.fd)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(serve(listener, load(args.cv), args.limiter))
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
