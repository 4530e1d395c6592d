"""Settings: where a value comes from, what is refused and how it is told, and that secrets hide."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, SecretStr, ValidationError

from libs.runtime.settings import (
    SECRET_FILE_BYTES_MAX,
    ServiceSettings,
    SettingsError,
    SharedSettings,
    near_misses,
)

PLAIN = {"HELIOGRAPH_DEPLOYMENT": "pilot-1"}


class IngestSettings(ServiceSettings):
    """A service with a field of every sort."""

    partition: int = Field(0, ge=0, description="Partition, 0 or more.")
    sources: tuple[str, ...] = Field((), description="Names.")
    limits: dict[str, int] = Field(default_factory=dict, description="Numbers by name.")
    postgres_url: SecretStr | None = Field(None, description="Where Postgres is.")
    feed_url: str = Field("", description="A feed.")
    port: int = Field(1883, ge=1, description="The port of MQTT.")


class GridMeterSettings(ServiceSettings):
    """Two words."""


class Renamed(ServiceSettings, service="tell-tale"):
    """A name of its own."""


def read(variables: dict[str, str], **values: Any) -> IngestSettings:
    return IngestSettings.from_environment(PLAIN | variables, **values)


def refusal(variables: dict[str, str], **values: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        read(variables, **values)
    return str(caught.value)


def test_the_class_names_the_service() -> None:
    assert [kind.service for kind in (IngestSettings, GridMeterSettings, Renamed)] == [
        "ingest",
        "grid-meter",
        "tell-tale",
    ]
    assert "HELIOGRAPH_TELL_TALE_BOOK" in Renamed.variables()


def test_defaults_need_nothing_but_a_deployment() -> None:
    settings = read({})

    assert (settings.deployment, settings.book, settings.partition) == ("pilot-1", "pilot", 0)
    assert settings.played_time is False


def test_the_constructor_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELIOGRAPH_DEPLOYMENT", "from-outside")
    monkeypatch.setenv("HELIOGRAPH_INGEST_PARTITION", "3")

    assert IngestSettings().deployment == "from-outside"
    assert IngestSettings(partition=4).partition == 4


def test_a_services_own_value_wins_over_the_shared_one() -> None:
    both = {"HELIOGRAPH_NATS_USER": "all", "HELIOGRAPH_INGEST_NATS_USER": "ingest"}

    assert read(both).nats_user == "ingest"
    assert read({"HELIOGRAPH_NATS_USER": "all"}).nats_user == "all"
    assert SharedSettings.from_environment(PLAIN | both).nats_user == "all"


def test_own_fields_have_no_shared_name() -> None:
    assert read({"HELIOGRAPH_PARTITION": "7"}).partition == 0


def test_an_empty_variable_is_not_set() -> None:
    assert read({"HELIOGRAPH_INGEST_PARTITION": "", "HELIOGRAPH_NATS_USER": ""}).nats_user is None


def test_lists_are_json_or_have_commas() -> None:
    assert read({"HELIOGRAPH_INGEST_SOURCES": "a, b"}).sources == ("a", "b")
    assert read({"HELIOGRAPH_INGEST_SOURCES": '["a,b"]'}).sources == ("a,b",)
    assert read({"HELIOGRAPH_INGEST_LIMITS": '{"a": 1}'}).limits == {"a": 1}
    assert "HELIOGRAPH_INGEST_LIMITS: it is neither JSON" in refusal(
        {"HELIOGRAPH_INGEST_LIMITS": "{a"}
    )


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        read({}).partition = 2  # type: ignore[misc]


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(SettingsError, match=r"^HELIOGRAPH_DEPLOYMENT: it is not set"):
        IngestSettings.from_environment({})


def test_a_broken_rule_names_the_variable_that_was_set_and_the_rule() -> None:
    told = refusal({"HELIOGRAPH_INGEST_PARTITION": "-1", "HELIOGRAPH_INGEST_BOOK": "a b"})

    assert "HELIOGRAPH_INGEST_PARTITION: Input should be greater than or equal to 0." in told
    assert "HELIOGRAPH_INGEST_BOOK: " in told
    assert "[A-Za-z0-9_-]{1,59}" in told


def test_an_unknown_variable_of_the_service_is_refused_with_the_nearest_one() -> None:
    told = refusal({"HELIOGRAPH_INGEST_PARTITON": "1", "HELIOGRAPH_INGEST_XYZZY": "1"})

    assert "HELIOGRAPH_INGEST_PARTITON: ingest has no such setting" in told
    assert "the nearest is HELIOGRAPH_INGEST_PARTITION." in told
    assert "HELIOGRAPH_INGEST_XYZZY: ingest has no such setting" in told


def test_an_unknown_field_is_refused_with_the_nearest_one() -> None:
    assert "the nearest is partition" in refusal({}, partiton=1)


def test_variables_of_other_services_are_left_alone() -> None:
    assert read({"HELIOGRAPH_LEDGER_WHATEVER": "1", "PATH": "/bin"}).service == "ingest"


def test_what_kubernetes_adds_for_a_service_of_the_same_name_is_left_alone() -> None:
    links = {
        "HELIOGRAPH_INGEST_SERVICE_HOST": "10.0.0.1",
        "HELIOGRAPH_INGEST_SERVICE_PORT": "8080",
        "HELIOGRAPH_INGEST_SERVICE_PORT_HTTP": "8080",
        "HELIOGRAPH_INGEST_PORT": "tcp://10.0.0.1:8080",
        "HELIOGRAPH_INGEST_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "HELIOGRAPH_INGEST_PORT_8080_TCP_ADDR": "10.0.0.1",
    }

    assert read(links).port == 1883
    assert read({"HELIOGRAPH_INGEST_PORT": "1884"}).port == 1884


def test_misspelt_shared_variables_are_pointed_out() -> None:
    found = near_misses(
        IngestSettings,
        {"HELIOGRAPH_NATS_ULR": "x", "HELIOGRAPH_LEDGER_BOOK": "x", "HELIOGRAPH_BOOK": "x"},
    )

    assert found == ["HELIOGRAPH_NATS_ULR: nothing reads it; the nearest is HELIOGRAPH_NATS_URL."]


def test_a_secret_is_read_from_a_file_without_its_last_newline(tmp_path: Path) -> None:
    (tmp_path / "all").write_text("shared\n")
    (tmp_path / "own").write_text(" own \r\n")
    shared = {"HELIOGRAPH_NATS_PASSWORD_FILE": str(tmp_path / "all")}
    own = {"HELIOGRAPH_INGEST_NATS_PASSWORD_FILE": str(tmp_path / "own")}

    for variables, secret in ((shared, "shared"), (shared | own, " own ")):
        password = read(variables).nats_password
        assert password is not None
        assert password.get_secret_value() == secret


def test_a_secret_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    for name, content in (("empty", b"\n"), ("long", b"x" * (SECRET_FILE_BYTES_MAX + 1))):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "binary").write_bytes(b"\xff")

    for name, rule in (
        ("absent", "cannot be read"),
        ("empty", "is empty or over"),
        ("long", "is empty or over"),
        ("binary", "is not UTF-8"),
    ):
        told = refusal({"HELIOGRAPH_INGEST_POSTGRES_URL_FILE": str(tmp_path / name)})
        assert told.startswith("HELIOGRAPH_INGEST_POSTGRES_URL_FILE: the file")
        assert rule in told


def test_a_secret_and_its_file_cannot_both_be_set() -> None:
    both = {"HELIOGRAPH_NATS_PASSWORD": "a", "HELIOGRAPH_NATS_PASSWORD_FILE": "/b"}

    assert refusal(both) == (
        "HELIOGRAPH_NATS_PASSWORD: set it or HELIOGRAPH_NATS_PASSWORD_FILE, not both."
    )


def test_only_secrets_have_a_file_variant() -> None:
    names = set(IngestSettings.variables())

    assert {"HELIOGRAPH_NATS_PASSWORD_FILE", "HELIOGRAPH_INGEST_POSTGRES_URL_FILE"} <= names
    assert "HELIOGRAPH_NATS_USER_FILE" not in names


def test_the_description_is_json_and_hides_secrets() -> None:
    settings = read(
        {
            "HELIOGRAPH_NATS_PASSWORD": "hunter2",
            "HELIOGRAPH_INGEST_POSTGRES_URL": "postgres://u:hunter2@h/d",
            "HELIOGRAPH_INGEST_FEED_URL": "http://u:hunter2@h",
        }
    )
    described = settings.describe()

    assert "hunter2" not in json.dumps(described) + repr(settings) + str(settings)
    assert described["deployment"] == "pilot-1"
    assert set(described) == set(IngestSettings.model_fields)


def test_an_error_never_repeats_a_value() -> None:
    told = refusal({"HELIOGRAPH_NATS_URL": "nats://user:hunter2@host"})

    assert told.startswith("HELIOGRAPH_NATS_URL: ")
    assert "hunter2" not in told


def test_every_field_is_described() -> None:
    for name, field in ServiceSettings.model_fields.items():
        assert field.description, name


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DEPLOYMENT", "a.b"),
        ("DEPLOYMENT", "a" * 65),
        ("DEPLOYMENT", "a\n"),
        ("NATS_URL", "http://here"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("HEALTH_PORT", "65536"),
        ("PLAYED_TIME", "perhaps"),
        ("STOP_TIMEOUT_S", "0"),
        ("START_TIMEOUT_S", "nan"),
        ("OTLP_ENDPOINT", "here"),
    ],
)
def test_shared_fields_keep_their_rules(variable: str, value: str) -> None:
    assert refusal({f"HELIOGRAPH_{variable}": value}).startswith(f"HELIOGRAPH_{variable}: ")


def test_no_book_is_called_as_the_register() -> None:
    with pytest.raises(SettingsError, match=r"HELIOGRAPH_BOOK: .*register is the name"):
        SharedSettings.from_environment(
            {"HELIOGRAPH_DEPLOYMENT": "test", "HELIOGRAPH_BOOK": "register"}
        )
