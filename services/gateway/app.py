"""Wiring of the gateway: the application, its server and the life of both."""

import asyncio
import socket
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp

from libs.runtime.broker import connect
from libs.runtime.clock import Clock
from libs.runtime.health import Health
from libs.runtime.logs import get_logger
from libs.runtime.process import release
from libs.runtime.settings import SettingsError
from services.gateway import api, own_api, problems, trade_api, trade_posts
from services.gateway.database import Views
from services.gateway.live import LiveFeed
from services.gateway.queries import community
from services.gateway.security import SecurityHeaders, content_security_policy
from services.gateway.settings import GatewaySettings
from services.gateway.state import State

PAGES: Final = Path(__file__).parent / "page"
"""Where the pages are: `index.html` and `docs.html`, each with its own style and script."""

LOOK_VIEWS_EVERY_S: Final = (0.5, 5.0)
"""Seconds between two looks whether Postgres answers: while it does not, and while it does."""

CLOSE_REQUESTS_S: Final = 5
"""Seconds that requests under way have when the gateway stops."""

_ABOUT: Final = """
Read the views of Heliograph, follow them live, and send signed commands.

Quantities are integers with their unit in the name (`energy_wh`, `amount_stroops`); beside each
stands a decimal text for people. Instants are UTC. Lists are paged: give `next_cursor` as `cursor`.
Every error is a problem document (RFC 9457).
"""

_log = get_logger(__name__)


def create_app(state: State) -> ASGIApp:
    """Make the application.

    Args:
        state: The parts that its routes work with.
    """
    app = FastAPI(
        title="Heliograph gateway",
        version=release(),
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.gateway = state
    app.include_router(api.router)
    app.include_router(own_api.router)
    app.include_router(trade_api.router)
    app.include_router(trade_posts.router)
    problems.install(app)
    index, docs = ((PAGES / name).read_text("utf-8") for name in ("index.html", "docs.html"))

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return HTMLResponse(index)

    @app.get("/api/docs", include_in_schema=False)
    async def docs_page() -> Response:
        return HTMLResponse(docs)

    @app.get("/favicon.ico", include_in_schema=False)
    async def favicon() -> Response:
        return Response(status_code=204)

    return SecurityHeaders(app, content_security_policy((index, docs)))


class _Server(uvicorn.Server):
    """A server that leaves signals to the process."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Capture none."""
        return nullcontext()


class Gateway:
    """Serves the application until asked to stop."""

    def __init__(self, state: State) -> None:
        """Bind the port.

        Args:
            state: The parts.

        Raises:
            SettingsError: The port cannot be bound.
        """
        settings = state.settings
        self._state = state
        self._socket = _bind(settings.host, settings.port)
        self.port: int = self._socket.getsockname()[1]
        """The port that was bound."""

    async def run(self, stop: asyncio.Event) -> None:
        """Serve, look after the feed and the views; then close everything."""
        state = self._state
        config = uvicorn.Config(
            create_app(state),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=CLOSE_REQUESTS_S,
        )
        server = _Server(config)
        try:
            await state.views.open()
            async with asyncio.TaskGroup() as group:
                serving = group.create_task(server.serve([self._socket]))
                group.create_task(state.feed.run(stop))
                watching = group.create_task(self._watch_views(stop))
                _log.info("gateway-serves", host=state.settings.host, port=self.port)
                await self._until(stop, serving)
                server.should_exit = True
                await serving
                watching.cancel()
        finally:
            self._socket.close()
            await state.views.close()
            if state.nats is not None:
                await state.nats.close()

    async def _until(self, stop: asyncio.Event, serving: "asyncio.Task[None]") -> None:
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()

    async def _watch_views(self, stop: asyncio.Event) -> None:
        """Ask Postgres now and then, so that readiness is true to life."""
        while not stop.is_set():
            answers = await self._state.views.look()
            try:
                async with asyncio.timeout(LOOK_VIEWS_EVERY_S[answers]):
                    await stop.wait()
            except TimeoutError:
                continue


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, reuse_port=False)
    except OSError as error:
        raise SettingsError(
            [f"HELIOGRAPH_GATEWAY_PORT: {host} port {port} cannot be bound: {error.strerror}."]
        ) from error


async def build(settings: GatewaySettings, clock: Clock, health: Health) -> Gateway:
    """Make the service of `libs.runtime.process`.

    Raises:
        Transient: The broker is away. Postgres may be.
    """
    del clock
    client = await connect(settings, health)
    views = Views(settings, health)
    state = State(settings, health, views, make_feed(views, settings), client)
    try:
        return Gateway(state)
    except BaseException:
        await client.close()
        raise


def make_feed(views: Views, settings: GatewaySettings) -> LiveFeed:
    """Make the live feed of the views."""

    async def look() -> dict[str, object]:
        async with views.reading() as connection:
            return await community.summary(connection)

    return LiveFeed(look, settings.listeners)
