"""Wiring: settings, store, node, HTTP face; and the process that serves them."""

import logging
import signal
import socket
import sys
import time
from types import FrameType
from typing import Final

import uvicorn
from starlette.applications import Starlette

from devnet import horizon
from devnet.node import Node
from devnet.protocol import Network
from devnet.settings import Settings
from devnet.store import Store, StoreUnusable

_GRACE_S: Final = 1
"""How long open requests may take once the process is asked to stop."""
_BACKLOG: Final = 2_048
_LOG: Final = logging.getLogger("devnet")


def wire(settings: Settings) -> Starlette:
    """Return the application for these settings.

    Raises:
        StoreUnusable: The data folder cannot be used.
    """
    network = Network.from_passphrase(settings.passphrase)
    store = Store.open(settings.data, network)
    node = Node(network=network, store=store, clock=_unix_seconds, played=settings.played)
    return horizon.build(node)


def main() -> None:
    """Serve until SIGTERM or SIGINT, then exit with 0."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)
    settings = Settings()
    try:
        app = wire(settings)
        listener = _listen(settings)
    except (StoreUnusable, OSError) as error:
        sys.exit(f"devnet: {error}")
    _announce(app, settings, listener)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=_GRACE_S,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _unix_seconds() -> int:
    # The one place that reads the clock. It is not libs.runtime's: the devnet stands for a
    # foreign network, and shares nothing with the services that talk to it.
    return time.time_ns() // 10**9


def _exit(_number: int, _frame: FrameType | None) -> None:
    # uvicorn stops gracefully and then raises the signal again: that is a clean end here.
    sys.exit(0)


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # The protocol is named, because asyncio sends small answers at once (TCP_NODELAY) only on
    # sockets that say TCP; others wait some 40 ms for the client's acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _announce(app: Starlette, settings: Settings, listener: socket.socket) -> None:
    node = app.state.node
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    _LOG.info(
        "devnet.started url=http://%s:%d data=%s passphrase=%r played=%s ledger=%d",
        host,
        listener.getsockname()[1],
        settings.data,
        settings.passphrase,
        settings.played,
        node.last.sequence,
    )
