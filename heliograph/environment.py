"""What each service of the embedded stack is told: its environment, by the settings scheme.

A service refuses variables of its own that it does not know, so this lists them one by one; a test
compares the list with the services' settings.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from heliograph.broker import INGEST_EDGE
from heliograph.credentials import Credentials, address_of_seed, new_seed, new_stellar_seed
from heliograph.layout import Layout, device_user

SERVICES: Final = (
    "ingest",
    "oracle",
    "ledger",
    "billing",
    "anchor",
    "projection",
    "gateway",
    "teller",
)
"""Every service of the stack, in the order in which people are told of them."""

STANDBY_ENDING: Final = "-standby"
"""End of the name of a second process of a service, which takes over from the first."""

DEVNET_PASSPHRASE: Final = "Heliograph Devnet ; 2026"  # noqa: S105 - a name, not a secret
"""The devnet's name, to which its data folder is tied."""

SEEDS: Final = (
    ("anchor-log", new_seed),
    ("anchor-account", new_stellar_seed),
    ("first-approver", new_stellar_seed),
    ("teller", new_seed),
)
"""Seeds that the stack makes where the caller brings none."""

_PREFIX: Final = "HELIOGRAPH_"
_ON_PARTITIONS: Final = frozenset({"ingest", "oracle", "ledger", "billing", "anchor", "projection"})
_AT_BROKER: Final = frozenset({*_ON_PARTITIONS, "gateway"})


@dataclass(frozen=True, slots=True)
class Urls:
    """Where everything is reached."""

    nats: str
    """The broker, for services."""
    mqtt_host: str
    """The broker's address for devices."""
    mqtt_port: int
    """The broker's port for devices."""
    monitor: str
    """The broker's monitoring."""
    postgres: str
    """The database, as the role that owns it, with its password."""
    postgres_reader: str
    """The database, as the role that may only read, with its password."""
    devnet: str
    """The double of Horizon and RPC."""
    gateway: str
    """REST, live feed and web console."""
    health: Mapping[str, str]
    """Health of each service by its process's name; `/readyz`, `/status` and others below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the environments are made from."""

    deployment: str
    """Id of the installation."""
    layout: Layout
    """Books, partitions, sites."""
    played_time: bool
    """Whether a player moves time on."""
    urls: Urls
    """Where everything is."""
    ports: Mapping[str, int]
    """By name: `gateway`, `health-<process>`."""
    credentials: Credentials
    """Passwords and seeds."""
    data: str
    """The data folder."""


def processes_of(service: str, layout: Layout) -> tuple[str, ...]:
    """Give the names of a service's processes: one, or for ingest one per partition."""
    if service != "ingest":
        return (service,)
    return ("ingest", *(f"ingest-{number}" for number in range(1, layout.partitions)))


def standby_of(service: str) -> str:
    """Give the name of the process that stands by for a service."""
    return service + STANDBY_ENDING


def is_standby(process: str) -> bool:
    """Tell whether a process stands by for another."""
    return process.endswith(STANDBY_ENDING)


def service_environment(process: str, setting: Setting) -> dict[str, str]:
    """Give the variables of one process, shared ones and its own.

    Args:
        process: Its name: a service's, `ingest-<p>` or `ledger-standby`; unknown ones get what all
            share.
        setting: Where everything is.
    """
    service, _, number = process.partition("-")
    own = {**_common(service, process, setting), **_special(service, setting)}
    if service == "ingest" and number:
        own["PARTITION"] = number
    shared = {
        "DEPLOYMENT": setting.deployment,
        "NATS_URL": setting.urls.nats,
        "BOOK": setting.layout.books[0],
        "BOOKS": ",".join(setting.layout.books),
        "PLAYED_TIME": str(setting.played_time).lower(),
    }
    prefix = _prefix(service)
    return {
        **{f"{_PREFIX}{name}": value for name, value in shared.items()},
        **{f"{prefix}{name}": value for name, value in own.items()},
    }


def devnet_environment(setting: Setting) -> dict[str, str]:
    """Give the variables of the devnet."""
    values = {
        "HOST": "127.0.0.1",
        "PORT": str(setting.ports["devnet"]),
        "DATA": f"{setting.data}/devnet",
        "PASSPHRASE": DEVNET_PASSPHRASE,
        "PLAYED": str(setting.played_time).lower(),
    }
    return {f"{_PREFIX}DEVNET_{name}": value for name, value in values.items()}


def inherited(set_by_us: Mapping[str, str], source_root: str) -> dict[str, str]:
    """Give what a child takes over from our own environment.

    A caller's `HELIOGRAPH_LEDGER_NATS_URL` would win over our `HELIOGRAPH_NATS_URL`, so whatever
    names a variable that we set, for one service, is left out.
    """
    endings = tuple(f"_{name.removeprefix(_PREFIX)}" for name in set_by_us)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not (name.startswith(_PREFIX) and name.endswith(endings))
    }
    paths = [source_root, *filter(None, [kept.get("PYTHONPATH")])]
    python = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    # The working directory is the data folder, whose folders must not pass for packages.
    return {**kept, **python, "PYTHONSAFEPATH": "1"}


def _prefix(service: str) -> str:
    return f"{_PREFIX}{re.sub('[^A-Z0-9]', '_', service.upper())}_"


def _common(service: str, process: str, setting: Setting) -> dict[str, str]:
    values: dict[str, str] = {}
    if (port := setting.ports.get(f"health-{process}")) is not None:
        values["HEALTH_PORT"] = str(port)
    if service in _AT_BROKER:
        values["NATS_USER"] = service
        values["NATS_PASSWORD"] = setting.credentials.passwords[service]
    if service in _ON_PARTITIONS:
        values["PARTITIONS"] = str(setting.layout.partitions)
    return values


def _special(service: str, setting: Setting) -> dict[str, str]:
    """Give what only this service is told; nothing for those that are not ours."""
    passwords, seeds, urls = setting.credentials.passwords, setting.credentials.seeds, setting.urls
    site = next(iter(setting.layout.sites), "")
    match service:
        case "ingest":
            found = {"EDGE_USER": INGEST_EDGE, "EDGE_PASSWORD": passwords[INGEST_EDGE]}
        case "ledger":
            found = {
                "FIRST_APPROVER": address_of_seed(seeds["first-approver"]),
                "SNAPSHOTS_URL": Path(setting.data, "snapshots").as_uri(),
            }
        case "anchor":
            found = {
                "HORIZON_URL": urls.devnet,
                "NETWORK_PASSPHRASE": DEVNET_PASSPHRASE,
                "LOG_SEED": seeds["anchor-log"],
                "ACCOUNT_SEED": seeds["anchor-account"],
                "FRIENDBOT": "true",
            }
        case "projection":
            found = {"POSTGRES_DSN": urls.postgres, "READER_ROLE": "gateway"}
        case "gateway":
            found = {"POSTGRES_DSN": urls.postgres_reader, "PORT": str(setting.ports["gateway"])}
        case "teller" if site:
            meters = setting.layout.sites[site]
            found = {
                "SEED": seeds["teller"],
                "SITE": site,
                "GENERATION_METER": meters[0],
                "CONSUMPTION_METER": meters[1] if len(meters) > 1 else "",
                "MQTT_HOST": urls.mqtt_host,
                "MQTT_PORT": str(urls.mqtt_port),
                "MQTT_USER": device_user(site),
                "MQTT_PASSWORD": passwords[device_user(site)],
                "DATA": f"{setting.data}/teller",
            }
        case _:
            found = {}
    return found
