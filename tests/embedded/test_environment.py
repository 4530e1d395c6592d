"""What the stack tells each service is what that service reads, and no more than it needs."""

import importlib
from pathlib import Path

import pytest

from heliograph.assembly import urls_of
from heliograph.broker import users
from heliograph.credentials import Credentials, address_of_seed, new_stellar_seed
from heliograph.environment import (
    SEEDS,
    SERVICES,
    Setting,
    devnet_environment,
    inherited,
    processes_of,
    service_environment,
)
from heliograph.layout import Layout
from heliograph.postgres import ROLES
from libs.events.ids import public_key_of
from libs.runtime.settings import ServiceSettings

LAYOUT = Layout(partitions=2)
PROCESSES = tuple(name for service in SERVICES for name in processes_of(service, LAYOUT))
FROM_THE_CALLER = {"teller": {"HELIOGRAPH_TELLER_SOURCE": "power.csv"}}


@pytest.fixture(scope="module")
def setting() -> Setting:
    credentials = Credentials()
    credentials.complete((*users(LAYOUT), *ROLES), SEEDS)
    names = ["nats", "monitor", "mqtt", "postgres", "devnet", "gateway"]
    names += [f"health-{process}" for process in PROCESSES]
    ports = {name: 20_000 + number for number, name in enumerate(names)}
    return Setting(
        deployment="embedded",
        layout=LAYOUT,
        played_time=False,
        urls=urls_of(ports, credentials.passwords, PROCESSES),
        ports=ports,
        credentials=credentials,
        data="/data",
    )


def settings_class(process: str) -> type[ServiceSettings]:
    service = process.partition("-")[0]
    module = importlib.import_module(f"services.{service}.settings")
    found: type[ServiceSettings] = getattr(module, f"{service.capitalize()}Settings")
    return found


@pytest.mark.parametrize("process", PROCESSES)
def test_every_service_takes_its_environment_as_it_is(setting: Setting, process: str) -> None:
    kind = settings_class(process)
    given = service_environment(process, setting)
    made = kind.from_environment({**given, **FROM_THE_CALLER.get(process, {})})
    assert made.deployment == "embedded"
    assert made.health_port == setting.ports[f"health-{process}"]
    unread = given.keys() - kind.variables().keys()
    assert not unread


def test_each_partition_has_an_ingest_of_its_own(setting: Setting) -> None:
    assert processes_of("ingest", LAYOUT) == ("ingest", "ingest-1")
    first, second = (service_environment(name, setting) for name in ("ingest", "ingest-1"))
    assert second.pop("HELIOGRAPH_INGEST_PARTITION") == "1"
    assert second.pop("HELIOGRAPH_INGEST_HEALTH_PORT") != first.pop("HELIOGRAPH_INGEST_HEALTH_PORT")
    assert first == second


def test_no_service_is_told_the_password_of_another(setting: Setting) -> None:
    passwords = setting.credentials.passwords
    own = {
        "ingest": {"ingest", "ingest-edge"},
        "projection": {"projection"},
        "gateway": {"gateway"},
        "teller": {"device-rooftop"},
    }
    for process in PROCESSES:
        service = process.partition("-")[0]
        text = " ".join(service_environment(process, setting).values())
        told = {user for user, password in passwords.items() if password in text}
        assert told == own.get(service, {service}), process


def test_the_devnet_is_told_where_and_which_it_is(setting: Setting) -> None:
    from devnet.settings import Settings  # noqa: PLC0415 - read from the environment

    with pytest.MonkeyPatch.context() as patch:
        for name, value in devnet_environment(setting).items():
            patch.setenv(name, value)
        made = Settings()
    assert (made.port, made.data) == (setting.ports["devnet"], Path("/data/devnet"))


def test_a_setting_of_the_callers_shell_does_not_win_over_the_stack(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELIOGRAPH_NATS_URL", "nats://elsewhere:4222")
    monkeypatch.setenv("HELIOGRAPH_LEDGER_NATS_URL", "nats://elsewhere:4222")
    monkeypatch.setenv("HELIOGRAPH_LOG_LEVEL", "debug")
    ours = service_environment("ledger", setting)
    environment = {**inherited(ours, "/source"), **ours}
    made = settings_class("ledger").from_environment(environment)
    assert made.nats_url == setting.urls.nats
    assert made.log_level == "debug", "what the stack does not set is passed on"


def test_seeds_are_stellar_seeds_with_an_address() -> None:
    seed = new_stellar_seed()
    assert len(seed) == 56
    assert seed[0] == "S"
    assert len(public_key_of(address_of_seed(seed))) == 32
    from stellar_sdk import Keypair  # noqa: PLC0415 - slow, and only here

    assert Keypair.from_secret(seed).public_key == address_of_seed(seed)


def test_credentials_are_kept_for_their_owner_alone_and_shown_to_nobody(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    made = Credentials()
    assert made.complete(["a", "b"], SEEDS)
    made.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    again = Credentials.load(path)
    assert again == made
    assert not again.complete(["a"], SEEDS)
    assert again.complete(["c"], ())
    assert again.passwords.items() > made.passwords.items()
    assert repr(made) == "Credentials()"


@pytest.mark.parametrize(
    "wrong",
    [
        {"books": ()},
        {"books": ("a", "a")},
        {"books": ("a.b",)},
        {"partitions": 0},
        {"partitions": 257},
        {"replicas": 2},
        {"sites": {"roof*": ("m",)}},
        {"sites": {"roof": ("m>",)}},
        {"sites": {"roof": ()}},
    ],
)
def test_a_layout_that_could_not_stand_in_subjects_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Layout(**wrong)  # type: ignore[arg-type]
