"""Compose, as its own parser understands it: complete, contained, told what services understand."""

import re
from pathlib import Path
from typing import Any

import pytest

from heliograph.demo import cast
from heliograph.demo.command import read_scene
from heliograph.demo.player import calendar_of
from heliograph.environment import SERVICES
from libs.events.quantities import format_instant, parse_instant
from tests.deploy import deployed

JOBS = {"init", "bootstrap", "play"}
OURS = {*SERVICES, *JOBS, "devnet"}
SERVERS = {"broker", "postgres"}
ENV_FILES = (None, "demo.env", "quickstart.env")
Json = dict[str, Any]


def services(env_file: str | None = None) -> dict[str, Json]:
    found: dict[str, Json] = deployed.compose(env_file)["services"]
    return found


def all_services() -> list[Any]:
    return [pytest.param(name, id=name) for name in services()]


def secrets_of(service: Json) -> str | None:
    """Name of the folder of secrets that a service sees."""
    for volume in service.get("volumes", ()):
        if volume["target"] == "/run/secrets":
            return str(volume["source"]).removeprefix("secrets-")
    return None


def test_every_service_of_the_stack_is_there_and_nothing_unknown() -> None:
    assert set(services()) == OURS | SERVERS | {"stellar"}


def test_without_a_profile_all_central_services_run() -> None:
    plain = set(deployed.compose(profile="")["services"])
    assert plain == (OURS | SERVERS) - {"play", "teller"}


@pytest.mark.parametrize("env_file", ENV_FILES)
def test_every_environment_file_gives_a_stack(env_file: str | None) -> None:
    named = set(deployed.compose(env_file, profile="")["services"])
    extra = {"demo.env": {"play", "teller"}, "quickstart.env": {"stellar"}}
    assert named == (OURS | SERVERS) - {"play", "teller"} | extra.get(env_file or "", set())


@pytest.mark.parametrize("name", all_services())
def test_a_container_can_do_no_more_than_it_must(name: str) -> None:
    service = services()[name]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")
    assert int(service["mem_limit"]) <= 4 << 30
    assert float(service["cpus"]) > 0
    assert service["pids_limit"] > 0
    if name == "stellar":
        return  # an image of many processes, for a profile of its own
    assert service["read_only"] is True
    added = {"init": ["CHOWN"]}
    assert service.get("cap_add") == added.get(name)
    if name == "init":
        assert service["network_mode"] == "none"
    elif name in SERVERS:
        assert service["user"].split(":")[0] != "0"
    else:
        assert "user" not in service, "the image says who it is"


@pytest.mark.parametrize("name", all_services())
def test_what_runs_on_is_watched_and_what_ends_is_not_started_again(name: str) -> None:
    service = services()[name]
    if name in JOBS:
        assert service["restart"] == "no"
        return
    assert service["restart"] == "unless-stopped"
    test = service["healthcheck"]["test"]
    assert test[0] == "CMD", "no shell"
    if name in SERVICES:
        assert test[1:] == ["ready", "8080", "/readyz"]
        assert service["environment"]["HELIOGRAPH_HEALTH_PORT"] == "8080"


@pytest.mark.parametrize("name", all_services())
def test_nobody_starts_before_what_he_stands_on(name: str) -> None:
    waits = {
        other: each["condition"] for other, each in services()[name].get("depends_on", {}).items()
    }
    for other, condition in waits.items():
        ends = other in JOBS
        assert condition == ("service_completed_successfully" if ends else "service_healthy")
    if name in SERVICES:
        assert "bootstrap" in waits
    if name == "bootstrap":
        assert set(waits) == SERVERS
    if name in SERVERS:
        assert set(waits) == {"init"}


def test_ports_are_on_this_machine_alone() -> None:
    published = {
        (name, port["target"]): port["host_ip"]
        for name, service in services().items()
        for port in service.get("ports", ())
    }
    assert set(published.values()) == {"127.0.0.1"}
    assert set(published) == {("gateway", 3000), ("broker", 4222), ("broker", 1883)}


def test_networks_lead_nowhere_but_for_those_who_publish_a_port() -> None:
    networks = deployed.compose()["networks"]
    assert {name for name, network in networks.items() if network.get("internal")} == {
        "broker",
        "database",
        "chain",
    }
    outside = {name for name, each in services().items() if "front" in each.get("networks", {})}
    assert outside == {"gateway", "broker"}
    on_chain = {name for name, each in services().items() if "chain" in each.get("networks", {})}
    assert on_chain == {"devnet", "stellar", "anchor", "play"}
    at_database = {
        name for name, each in services().items() if "database" in each.get("networks", {})
    }
    assert at_database == {"postgres", "bootstrap", "projection", "gateway"}


def test_images_are_pinned_and_ours_is_one() -> None:
    images = {name: service["image"] for name, service in services().items()}
    assert {images[name] for name in OURS} == {"heliograph:0.1.0"}
    assert [name for name in images if not deployed.is_pinned(images[name])] == []
    assert images["broker"].startswith("nats:2.15.1")
    assert images["postgres"] == "postgres:18"


def test_each_reader_has_his_own_secrets_and_only_init_has_all() -> None:
    readers: dict[str, list[str]] = {}
    for name, service in services().items():
        for volume in service.get("volumes", ()):
            if str(volume["source"]).startswith("secrets-") and name != "init":
                assert volume["read_only"] is True
                readers.setdefault(volume["source"], []).append(name)
    written = {
        volume["source"]: volume["target"]
        for volume in services()["init"]["volumes"]
        if str(volume["source"]).startswith("secrets-")
    }
    assert written.pop("secrets-master") == "/secrets/master"
    assert set(written) == set(readers)
    assert all(target == f"/secrets/{name[8:]}" for name, target in written.items())
    assert all(len(names) == 1 for names in readers.values())


@pytest.mark.parametrize("name", all_services())
def test_every_variable_is_one_that_somebody_reads(name: str) -> None:
    service = services()[name]
    found = deployed.settings_class(service.get("command") or ())
    names = set(service.get("environment") or {}) - deployed.FOREIGN
    assert names <= (deployed.known_variables(found) if found is not None else set())
    if name in OURS - {"init"}:
        assert found is not None


@pytest.mark.parametrize("env_file", ENV_FILES)
@pytest.mark.parametrize("name", sorted(OURS - {"init"}))
def test_the_process_can_use_what_it_is_told(
    name: str, env_file: str | None, tmp_path: Path
) -> None:
    service = services(env_file)[name]
    found = deployed.settings_class(service["command"])
    assert found is not None
    reader, environment = secrets_of(service), dict(service["environment"])
    if reader is not None:
        for file, text in deployed.secret_files()[reader].items():
            (tmp_path / file).write_text(text)
    if name == "ledger":
        script = str(service["command"][-1])
        (variable, file) = re.findall(
            r'(HELIOGRAPH_\w+)="\$+\(cat /run/secrets/([\w-]+)\)"', script
        )[0]
        environment[variable] = (tmp_path / file).read_text()
    told = {
        variable: str(value or "").replace("/run/secrets", str(tmp_path))
        for variable, value in environment.items()
        if variable not in deployed.FOREIGN
    }
    deployed.construct(found, told)


def test_no_secret_stands_in_the_file() -> None:
    for name, service in services().items():
        for variable, value in (service.get("environment") or {}).items():
            if re.search(r"PASSWORD|SEED|DSN|CREDENTIALS|SECRET|TOKEN", variable):
                assert variable.endswith("_FILE"), f"{name}: {variable}"
                assert str(value).startswith("/run/secrets/"), f"{name}: {variable}"


def test_the_play_is_the_season_that_the_demonstration_knows() -> None:
    played = services("demo.env")
    scene, source = read_scene(None, None, None, 500)
    calendar = calendar_of(
        parse_instant(source["first_at"]), parse_instant(source["until_at"]), scene.time_zone
    )
    oracle, teller, play = (played[name]["environment"] for name in ("oracle", "teller", "play"))
    assert oracle["HELIOGRAPH_ORACLE_PLAYED_FROM"] == format_instant(calendar.starts_at)
    assert teller["HELIOGRAPH_TELLER_TIME_ZONE"] == scene.time_zone
    assert teller["HELIOGRAPH_TELLER_SOURCE"] == play["HELIOGRAPH_DEMO_SOURCE"]
    assert teller["HELIOGRAPH_TELLER_LOAD_W"] == play["HELIOGRAPH_DEMO_LOAD_W"] == "500"
    assert teller["HELIOGRAPH_TELLER_SITE"] == cast.SITE
    assert "--played" in played["init"]["command"]
    for name in SERVICES:
        environment = played[name]["environment"]
        assert environment["HELIOGRAPH_DEPLOYMENT"] == cast.DEPLOYMENT
        assert environment["HELIOGRAPH_PLAYED_TIME"] == "true"
    assert played["devnet"]["environment"]["HELIOGRAPH_DEVNET_PLAYED"] == "true"


def test_a_play_leaves_the_other_stack_alone() -> None:
    plain, played = deployed.compose(), deployed.compose("demo.env")
    assert plain["name"] != played["name"]

    def ports(found: Json) -> set[str]:
        return {
            port["published"]
            for service in found["services"].values()
            for port in service.get("ports", ())
        }

    assert not ports(plain) & ports(played)


def test_nobody_but_a_player_sets_the_clock_of_the_devnet() -> None:
    assert services()["devnet"]["environment"]["FORWARDED_ALLOW_IPS"] == "127.0.0.1"
    assert services()["devnet"]["environment"]["HELIOGRAPH_DEVNET_PLAYED"] == "false"
