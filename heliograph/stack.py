"""The embedded stack: broker, database, devnet and every service, each as a process of its own.

    async with Stack(StackOptions(data=Path("/some/folder"))) as stack:
        print(stack.urls.gateway)

Whatever dies is started again. Whatever happens to this process, no child stays behind.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self

from heliograph import broker, environment, postgres, probes
from heliograph.assembly import Assembly, urls_of
from heliograph.credentials import Credentials
from heliograph.environment import SERVICES, Setting, Urls
from heliograph.errors import StackError
from heliograph.folder import Folder, Lock, choose_ports, is_free
from heliograph.layout import Layout
from heliograph.parts import Keeper, Part, Report, StackEvent, What

GATEWAY_PORT: Final = 3000
"""Where the gateway is reached unless it is told otherwise or the port is taken."""

INFRASTRUCTURE: Final = ("broker", "postgres", "devnet")
"""What services stand on, in the order of their start."""

_NO_EXTRA: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType({})


def _silent(_: StackEvent) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class ServiceProcess:
    """A service of the stack, or something else that is to be kept running beside them."""

    name: str
    """Its name; a service of ours gets its settings by it."""
    argv: tuple[str, ...] | None = None
    """The program; `python -m services.<name>` unless told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """What the caller decides."""

    data: Path
    """The data folder; it is made, and kept."""
    services: Sequence[str | ServiceProcess] = SERVICES
    """What runs, by name; ingest has one process per partition."""
    infrastructure: Sequence[str] = INFRASTRUCTURE
    """Which of `broker`, `postgres`, `devnet` run."""
    deployment: str = "embedded"
    """Id of the installation; a data folder belongs to one."""
    layout: Layout = field(default_factory=Layout)
    """Books, partitions, sites with their meters."""
    played_time: bool = False
    """Whether a player moves time on, in place of the clock."""
    gateway_port: int = GATEWAY_PORT
    """Where the gateway should be; if it is taken, and for 0, a free port is used."""
    gateway_port_only: bool = False
    """Whether the start is refused if that port is taken."""
    extra_env: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: _NO_EXTRA)
    """More variables, by process (`devnet` too), or by `*` for all; they win over ours."""
    on_event: Report = _silent
    """Hears what happens."""
    start_timeout_s: float = 120.0
    """Seconds until everything must be ready."""


class Stack:
    """A running stack; use it with `async with`. See the module for an example."""

    def __init__(self, options: StackOptions) -> None:
        self.options = options
        self.folder = Folder(options.data.absolute())
        """The data folder."""
        self.credentials = Credentials()
        """Passwords by user, seeds by purpose; filled at start."""
        self.ports: dict[str, int] = {}
        """Ports by name; filled at start."""
        self.env: dict[str, dict[str, str]] = {}
        """The variables that the stack gave each process, without those it inherited."""
        self._keepers: dict[str, Keeper] = {}
        self._services = tuple(_expanded(options))
        self._exit = AsyncExitStack()
        self._group: asyncio.TaskGroup
        self._urls: Urls

    # What a caller asks.

    @property
    def urls(self) -> Urls:
        """Where everything is reached."""
        return self._urls

    @property
    def restarts(self) -> dict[str, int]:
        """How often each process was started again because it died."""
        return {name: keeper.restarts for name, keeper in self._keepers.items()}

    @property
    def pids(self) -> dict[str, int | None]:
        """The process ids; None for what does not run at this moment."""
        return {name: keeper.pid for name, keeper in self._keepers.items()}

    def is_ready(self, name: str) -> bool:
        """Tell whether a process runs and was ready once since its start."""
        return self._keeper(name).ready.is_set()

    def kill(self, name: str) -> None:
        """Kill a process (SIGKILL); the stack starts it again."""
        self._keeper(name).kill()

    async def stop_service(self, name: str) -> None:
        """Stop a process and leave it down until `start_service`."""
        await self._keeper(name).stop()

    async def start_service(self, name: str, *, wait: bool = True) -> None:
        """Start what was stopped.

        Args:
            name: Of the process.
            wait: Whether to return only once it is ready.

        Raises:
            StackError: It did not become ready in time.
        """
        self._keeper(name).start(self._group)
        if wait:
            await self.wait_ready(name)

    async def wait_ready(self, *names: str, timeout_s: float | None = None) -> None:
        """Wait until processes are ready at this moment.

        Args:
            names: Which; all that are not stopped unless told.
            timeout_s: Seconds to wait; `start_timeout_s` unless told.

        Raises:
            StackError: One cannot become ready, or did not in time; with the end of its log.
        """
        keepers = [self._keeper(name) for name in names]
        if not names:
            keepers = [keeper for keeper in self._keepers.values() if keeper.wanted]
        limit = self.options.start_timeout_s if timeout_s is None else timeout_s
        waiting = [asyncio.ensure_future(keeper.wait_ready()) for keeper in keepers]
        try:
            done, late = await asyncio.wait(
                waiting, timeout=limit, return_when=asyncio.FIRST_EXCEPTION
            )
            for task in done:
                task.result()
            if late:
                raise StackError(await self._why_late(keepers, limit))
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    def log(self, name: str) -> Path:
        """Give the file with a process's output."""
        return self.folder.log(name)

    # Start and end.

    async def __aenter__(self) -> Self:
        """Start everything and wait until it is ready.

        Raises:
            StackError: It cannot be started; nothing is left running.
        """
        try:
            await self._start()
        except BaseException:
            await self._end(*sys.exc_info())
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop everything, services first, the broker last."""
        await self._end(kind, error, traceback)

    async def _start(self) -> None:
        options, layout = self.options, self.options.layout
        self.folder.check_belongs(options.deployment, layout.books, layout.partitions)
        self.folder.make()
        self._exit.enter_context(Lock(self.folder.lock))
        if options.gateway_port_only and not is_free(options.gateway_port):
            raise StackError(f"{taken(options.gateway_port)}: stop it, or choose another --port.")
        self.folder.rotate_logs()
        assembly = self._load()
        self.env = assembly.env
        self._group = await self._exit.enter_async_context(asyncio.TaskGroup())
        make = {
            "broker": assembly.broker,
            "postgres": assembly.postgres,
            "devnet": assembly.devnet,
        }
        for name in self.options.infrastructure:
            self._keep(make[name]())
            await self.wait_ready(name)
        # A standby that starts beside the first races it for the pen, and one has to end.
        for second in (False, True):
            for service in self._services:
                if environment.is_standby(service.name) == second:
                    self._keep(assembly.service(service.name, service.argv))
            if self._keepers:
                await self.wait_ready()

    async def _end(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        stopping = asyncio.ensure_future(self._stop_all())
        try:
            # A second cancellation, such as an impatient ctrl-C, kills instead of asking.
            await asyncio.shield(stopping)
        except asyncio.CancelledError:
            for keeper in self._keepers.values():
                keeper.abort()
            await stopping
            raise
        finally:
            # The group would wrap the caller's error; only its own ending concerns it.
            if kind is None or not issubclass(kind, asyncio.CancelledError):
                kind = error = traceback = None
            await self._exit.__aexit__(kind, error, traceback)

    async def _stop_all(self) -> None:
        services = [k for name, k in self._keepers.items() if name not in INFRASTRUCTURE]
        await asyncio.gather(*(keeper.stop() for keeper in services))
        for name in reversed(INFRASTRUCTURE):
            if name in self._keepers:
                await self._keepers[name].stop()

    def _load(self) -> Assembly:
        """Take ports, passwords and seeds from the folder, and keep what is new."""
        options, state = self.options, self.folder.load_state()
        fixed = {
            "deployment": options.deployment,
            "books": sorted(options.layout.books),
            "partitions": options.layout.partitions,
        }
        self.credentials = Credentials.load(self.folder.credentials)
        if self.credentials.complete(
            (*broker.users(options.layout), *postgres.ROLES), environment.SEEDS
        ):
            self.credentials.save(self.folder.credentials)
        names = ["nats", "monitor", "mqtt", "postgres", "devnet"]
        names += [f"health-{service.name}" for service in self._services]
        wanted = options.gateway_port
        kept = {name: int(port) for name, port in state.get("ports", {}).items()}
        if wanted and is_free(wanted):
            kept["gateway"] = wanted
        self.ports = choose_ports(["gateway", *names], kept)
        if wanted and self.ports["gateway"] != wanted:
            at = f"http://127.0.0.1:{self.ports['gateway']}"
            note = f"{taken(wanted)}; the gateway answers at {at}"
            options.on_event(StackEvent(What.NOTE, "gateway", note))
        parts = [*options.infrastructure, *(service.name for service in self._services)]
        self.folder.save_state({**fixed, "ports": self.ports, "parts": parts})
        processes = tuple(service.name for service in self._services)
        self._urls = urls_of(self.ports, self.credentials.passwords, processes)
        setting = Setting(
            deployment=options.deployment,
            layout=options.layout,
            played_time=options.played_time,
            urls=self._urls,
            ports=self.ports,
            credentials=self.credentials,
            data=str(self.folder.path),
        )
        return Assembly(setting, options.extra_env, options.on_event)

    # The parts.

    def _keep(self, part: Part) -> None:
        log = self.folder.log(part.name)
        keeper = Keeper(part, log, self.folder.path, self.options.on_event)
        self._keepers[part.name] = keeper
        keeper.start(self._group)

    def _keeper(self, name: str) -> Keeper:
        try:
            return self._keepers[name]
        except KeyError:
            raise StackError(
                f"There is no {name!r} in this stack; there is {', '.join(self._keepers)}."
            ) from None

    async def _why_late(self, keepers: Sequence[Keeper], limit: float) -> str:
        late = [keeper for keeper in keepers if not keeper.ready.is_set()] or list(keepers)
        sentences = [f"Not ready after {limit:g} s: {', '.join(k.part.name for k in late)}."]
        for keeper in late[:3]:
            name = keeper.part.name
            if keeper.pid is None:
                sentences.append(f"{name} ended: {keeper.last_exit}.")
            elif name in self._urls.health:
                _, body = await probes.get(f"{self._urls.health[name]}/readyz")
                sentences.append(f"{name} says: {body.decode('utf-8', 'replace')[:300]}")
            sentences.append(f"The end of {self.folder.log(name)}:\n{keeper.tail()}")
        return "\n".join(sentences)


def taken(port: int) -> str:
    """Say that a port cannot be had."""
    return f"port {port} is taken by another program"


def _expanded(options: StackOptions) -> list[ServiceProcess]:
    """Give one entry per process."""
    found: list[ServiceProcess] = []
    for service in options.services:
        if isinstance(service, ServiceProcess):
            found.append(service)
        else:
            names = environment.processes_of(service, options.layout)
            found += [ServiceProcess(name) for name in names]
    return found
