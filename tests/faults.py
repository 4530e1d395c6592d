"""A TCP proxy that loses, delays and cuts, for tests of anything that speaks TCP.

It stands between a client and a server, copies bytes both ways, and watches for bytes named by a
rule. A rule is used up by its first match. What it can do is `Act`; `cut`, `hold` and `release` act
at once.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Final, Self

CHUNK_BYTES: Final = 64 * 1024
"""Bytes read at once."""
LINGER_S: Final = 0.15
"""Seconds that a cut still lets the client's bytes through to the server."""


class Side(Enum):
    """Where bytes are going."""

    TO_SERVER = "to server"
    TO_CLIENT = "to client"


class Act(Enum):
    """What happens at the first bytes that match a rule."""

    CUT_BEFORE = "cut before"
    """They and all that follows are lost, the connection is cut: a request that never arrives."""
    CUT_AFTER = "cut after"
    """They and what follows at once pass, nothing comes back, then the connection is cut: a lost
    answer."""
    HOLD_BACK = "hold back"
    """They pass, everything the other way is held until `release`: a late answer."""
    HOLD = "hold"
    """They and all that follows in their direction are held until `release`: a late request."""
    HOLD_AND_CUT = "hold and cut"
    """As `HOLD`, and the client's side is cut: a request that arrives after its sender is gone."""


@dataclass(slots=True)
class Rule:
    """Bytes to watch for, and what to do."""

    side: Side
    pattern: bytes
    act: Act
    matched: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it has matched."""


@dataclass(slots=True, eq=False)
class _Pipe:
    """One direction of one connection."""

    side: Side
    source: asyncio.StreamReader
    target: asyncio.StreamWriter
    open: asyncio.Event = field(default_factory=asyncio.Event)
    lost: bool = False
    tail: bytes = b""
    held: deque[bytes] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.open.set()

    async def put(self, chunk: bytes) -> None:
        if self.lost:
            return
        if not self.open.is_set():
            self.held.append(chunk)
            return
        with contextlib.suppress(OSError):
            self.target.write(chunk)
            await self.target.drain()

    async def release(self) -> None:
        self.open.set()
        while self.held:
            await self.put(self.held.popleft())


@dataclass(slots=True, eq=False)
class _Connection:
    to_server: _Pipe
    to_client: _Pipe
    client_gone: bool = False

    def pipe(self, side: Side) -> _Pipe:
        return self.to_server if side is Side.TO_SERVER else self.to_client

    def cut_client(self) -> None:
        self.client_gone = True
        self.to_client.lost = True
        self.to_client.target.transport.abort()

    def cut(self) -> None:
        self.cut_client()
        self.to_server.lost = True
        self.to_server.target.transport.abort()


class FaultProxy:
    """The proxy; use with `async with`."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.port = 0
        """Where it listens on loopback, once started."""
        self._host = host
        self._upstream_port = port
        self._rules: list[Rule] = []
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The proxy as a NATS url."""
        return f"nats://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.refuse()
        while self._tasks:
            self.cut()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def accept(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Stop listening; connections that exist go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def rule(self, side: Side, pattern: bytes, act: Act) -> Rule:
        """Watch for bytes; the rule is used up by its first match."""
        made = Rule(side, pattern, act)
        self._rules.append(made)
        return made

    def cut(self) -> None:
        """Cut all connections now, both sides, as a reset does."""
        for connection in tuple(self._connections):
            connection.cut()

    def cut_clients(self) -> None:
        """Cut the clients' side of all connections now; what is held for the server can be
        released."""
        for connection in tuple(self._connections):
            connection.cut_client()
            if connection.to_server.open.is_set():
                self._later(self._cut_soon(connection))

    def hold(self, side: Side) -> None:
        """Hold everything that goes to one side until `release`; connections made later are not
        held."""
        for connection in self._connections:
            connection.pipe(side).open.clear()

    async def release(self) -> None:
        """Let through what was held, also to a server whose client is gone."""
        for connection in tuple(self._connections):
            await connection.to_server.release()
            await connection.to_client.release()
            if connection.client_gone:
                self._later(self._cut_soon(connection))

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._later(self._serve(reader, writer))

    async def _serve(
        self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter
    ) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection(
                self._host, self._upstream_port
            )
        except (OSError, asyncio.CancelledError):
            client_writer.transport.abort()
            return
        connection = _Connection(
            _Pipe(Side.TO_SERVER, client_reader, server_writer),
            _Pipe(Side.TO_CLIENT, server_reader, client_writer),
        )
        self._connections.add(connection)
        await self._run(connection)

    def _later(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, connection: _Connection) -> None:
        up = asyncio.ensure_future(self._copy(connection, connection.to_server))
        down = asyncio.ensure_future(self._copy(connection, connection.to_client))
        try:
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            if connection.client_gone:  # The server's side lives on until it is cut.
                await asyncio.wait((down,))
        finally:
            connection.cut()
            self._connections.discard(connection)
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)

    async def _copy(self, connection: _Connection, pipe: _Pipe) -> None:
        with contextlib.suppress(OSError):
            while chunk := await pipe.source.read(CHUNK_BYTES):
                await self._pass(connection, pipe, chunk)

    async def _pass(self, connection: _Connection, pipe: _Pipe, chunk: bytes) -> None:
        seen = pipe.tail + chunk
        for rule in self._rules:
            if rule.side is pipe.side and rule.pattern in seen:
                self._rules.remove(rule)
                rule.matched.set()
                pipe.tail = b""
                await self._act(rule.act, connection, pipe, chunk)
                return
        longest = max((len(rule.pattern) for rule in self._rules), default=1)
        pipe.tail = seen[len(seen) - longest + 1 :] if longest > 1 else b""
        await pipe.put(chunk)

    async def _act(self, act: Act, connection: _Connection, pipe: _Pipe, chunk: bytes) -> None:
        back = connection.pipe(Side.TO_CLIENT if pipe.side is Side.TO_SERVER else Side.TO_SERVER)
        match act:
            case Act.CUT_BEFORE:
                connection.cut()
            case Act.CUT_AFTER:
                back.lost = True
                await pipe.put(chunk)
                self._later(self._cut_soon(connection))
            case Act.HOLD_BACK:
                back.open.clear()
                await pipe.put(chunk)
            case Act.HOLD:
                pipe.open.clear()
                await pipe.put(chunk)
            case Act.HOLD_AND_CUT:
                pipe.open.clear()
                await pipe.put(chunk)
                connection.cut_client()

    async def _cut_soon(self, connection: _Connection) -> None:
        await asyncio.sleep(LINGER_S)
        connection.cut()
