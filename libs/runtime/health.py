"""Health: what a process says about itself, to an orchestrator and to people.

Alive means that every heart beats: the event loop ticks and so does each loop that registered.
Ready means that every part that reported is in order. Counters and positions are for people and
for metrics. It must never decide anything.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final, NoReturn

from libs.runtime.clock import Clock
from libs.runtime.failures import Refused, problem_document

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, PlainTextResponse

BEAT_AGE_S_MAX: Final = 5.0
"""The age, in seconds, from which a beat counts as missed."""

BEAT_EVERY_S: Final = 1.0
"""Seconds between two beats of the event loop."""

BODY_SIZE_MAX: Final = 65_536
"""Most bytes that the body of a request to an endpoint may have."""

Endpoint = Callable[[bytes], Awaitable[tuple[int, dict[str, Any]]]]
"""Answers a request to a service's own endpoint: its body in, status and JSON values out."""


class Health:
    """Where the parts of one process report. Used from the event loop only, but for reading."""

    def __init__(self, service: str, version: str, clock: Clock) -> None:
        """Start with nothing reported: neither alive nor ready.

        Args:
            service: The service's name.
            version: The release that runs.
            clock: Its monotonic seconds date the beats, its instants the start.
        """
        self.service = service
        self.version = version
        self._clock = clock
        self._started_at = clock.now()
        self._parts: dict[str, tuple[bool, str]] = {}
        self._beats: dict[str, tuple[float, float]] = {}
        self._positions: dict[str, int] = {}
        self._counters: dict[str, int] = {}
        self._details: dict[str, Callable[[], Mapping[str, Any]]] = {}
        self.endpoints: dict[tuple[str, str], Endpoint] = {}
        """What a service answers besides health, by method and path, such as a control."""
        self._failure: Exception | None = None
        self._failed = asyncio.Event()

    def set(self, part: str, ok: bool, detail: str = "") -> None:  # noqa: FBT001
        """Say how a part is. A part that was never set does not count.

        Args:
            part: Such as `nats`, `replay`.
            ok: True if it is in order.
            detail: A few words for people; no secrets.
        """
        self._parts[part] = (ok, detail)

    def beat(self, heart: str, age_s_max: float = BEAT_AGE_S_MAX) -> None:
        """Say that a loop is still turning.

        Args:
            heart: Such as `loop`, `writer`. From its first beat on it must go on beating.
            age_s_max: Seconds within which it will beat again.
        """
        self._beats[heart] = (self._clock.monotonic(), age_s_max)

    def rest(self, heart: str) -> None:
        """Say that a loop has ended on purpose and will not beat again."""
        self._beats.pop(heart, None)

    def position(self, stream: str, sequence: int) -> None:
        """Say up to which sequence (0 or more) a stream has been read or written."""
        self._positions[stream] = sequence

    def count(self, what: str, amount: int = 1) -> None:
        """Add to a counter.

        Args:
            what: Kebab-case, such as `commands-refused`.
            amount: 0 or more.
        """
        self._counters[what] = self._counters.get(what, 0) + amount

    def describe(self, name: str, read: Callable[[], Mapping[str, Any]]) -> None:
        """Add a member to `status`.

        Args:
            name: Its name.
            read: Returns JSON values without secrets; called whenever somebody asks.
        """
        self._details[name] = read

    def give_up(self, error: Exception) -> None:
        """End the process from where no exception can travel, as from a callback.

        Args:
            error: Why; the first one counts. Its failure class decides the exit code.
        """
        if self._failure is None:
            self._failure = error
            self._failed.set()

    async def given_up(self) -> NoReturn:
        """Wait until somebody gives up, and raise why."""
        await self._failed.wait()
        assert self._failure is not None, "set before the event"
        raise self._failure

    @property
    def positions(self) -> Mapping[str, int]:
        """Sequence by stream."""
        return self._positions

    @property
    def counters(self) -> Mapping[str, int]:
        """Total by counter."""
        return self._counters

    def missed_beats(self) -> list[str]:
        """Return the hearts whose last beat is too old."""
        now = self._clock.monotonic()
        return [heart for heart, (at, age) in self._beats.items() if now - at >= age]

    def is_alive(self) -> bool:
        """Tell whether at least one heart beats and none has stopped."""
        return bool(self._beats) and not self.missed_beats()

    def is_ready(self) -> bool:
        """Tell whether at least one part reported and all are in order."""
        return bool(self._parts) and all(ok for ok, _ in self._parts.values())

    def status(self) -> dict[str, Any]:
        """Return everything, as JSON values."""
        now = self._clock.monotonic()
        return {
            "service": self.service,
            "version": self.version,
            "started_at": self._started_at.isoformat().replace("+00:00", "Z"),
            "alive": self.is_alive(),
            "ready": self.is_ready(),
            "parts": {
                part: {"ok": ok, "detail": detail} for part, (ok, detail) in self._parts.items()
            },
            "beat_age_s": {heart: round(now - at, 3) for heart, (at, _) in self._beats.items()},
            "positions": dict(self._positions),
            "counters": dict(self._counters),
            **{name: dict(read()) for name, read in self._details.items()},
        }

    def metrics(self) -> str:
        """Return the numbers in the Prometheus text format (version 0.0.4)."""
        up = {part: int(ok) for part, (ok, _) in self._parts.items()}
        return "".join(
            (
                _metric("heliograph_ready", "gauge", "part", up),
                _metric("heliograph_position", "gauge", "stream", self._positions),
                _metric("heliograph_events_total", "counter", "event", self._counters),
            )
        )


async def keep_beating(health: Health, done: asyncio.Event) -> None:
    """Beat the heart `loop` until told to stop; it stops by itself when the loop is stuck."""
    while not done.is_set():
        health.beat("loop")
        try:
            async with asyncio.timeout(BEAT_EVERY_S):
                await done.wait()
        except TimeoutError:
            continue
    health.rest("loop")


def health_app(health: Health) -> "Starlette":
    """Return the web application: `/livez`, `/readyz`, `/status`, `/metrics`.

    The first two answer 200 or 503 with what is wrong, for probes; the last two are for people
    and for Prometheus.
    """
    from starlette.applications import Starlette  # noqa: PLC0415 - only servers need it
    from starlette.responses import JSONResponse, PlainTextResponse  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    async def livez(_: "Request") -> "JSONResponse":
        alive = health.is_alive()
        return JSONResponse(
            {"alive": alive, "missed": health.missed_beats()}, 200 if alive else 503
        )

    async def readyz(_: "Request") -> "JSONResponse":
        ready = health.is_ready()
        return JSONResponse(
            {"ready": ready, "parts": health.status()["parts"]}, 200 if ready else 503
        )

    async def status(_: "Request") -> "JSONResponse":
        return JSONResponse(health.status())

    async def metrics(_: "Request") -> "PlainTextResponse":
        return PlainTextResponse(health.metrics())

    async def other(request: "Request") -> "JSONResponse":
        endpoint = health.endpoints.get((request.method, request.url.path))
        if endpoint is None:
            return JSONResponse({"detail": "There is no such thing here."}, 404)
        body = await _read_body(request)
        if body is None:
            refused = Refused("too-large", f"A body has at most {BODY_SIZE_MAX} bytes.", status=413)
            return JSONResponse(problem_document(refused), refused.status)
        status_code, answer = await endpoint(body)
        return JSONResponse(answer, status_code)

    return Starlette(
        routes=[
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/status", status),
            Route("/metrics", metrics),
            Route("/{path:path}", other, methods=["GET", "POST"]),
        ]
    )


async def _read_body(request: "Request") -> bytes | None:
    """Read a body piece by piece; `None`, with the rest unread, once it is too large."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > BODY_SIZE_MAX:
            return None
    return bytes(body)


class HealthServer:
    """Serves health inside the service's own event loop, so that a stuck loop shows as silence."""

    def __init__(self, health: Health, host: str, port: int) -> None:
        """Bind the port.

        Args:
            health: What is served.
            host: The address, such as `127.0.0.1`.
            port: 0 to 65535; 0 lets the system choose.

        Raises:
            OSError: The port is taken or the address is not ours.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, reuse_port=False)
        self._health = health
        self.port: int = self._socket.getsockname()[1]
        """The port that was bound, 1 to 65535."""

    async def run(self, done: asyncio.Event) -> None:
        """Serve until told to stop, then close; signals stay with the process."""
        import uvicorn  # noqa: PLC0415 - only servers need it

        class Server(uvicorn.Server):
            def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
                return nullcontext()

        server = Server(
            uvicorn.Config(
                health_app(self._health),
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=1,
            )
        )
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(server.serve([self._socket]))
            waiting = group.create_task(done.wait())
            await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
            server.should_exit = True
            await serving
            waiting.cancel()

    def close(self) -> None:
        """Free the port, if it is still bound."""
        self._socket.close()


def _metric(name: str, kind: str, label: str, values: Mapping[str, int]) -> str:
    if not values:
        return ""
    lines = [f"# TYPE {name} {kind}"]
    for which, value in sorted(values.items()):
        escaped = which.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        lines.append(f'{name}{{{label}="{escaped}"}} {value}')
    return "\n".join(lines) + "\n"
