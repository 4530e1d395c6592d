"""The published schemas, the lock of stored shapes and the catalogue are those of the code.

The lock is tried on copies of the registry with one thing changed: each change must be caught. And
a validator that is not ours (ajv) judges golden examples and their faults by the published files.
"""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import create_model

from libs.events.command import COMMANDS, Body
from libs.events.commands import Pay
from libs.events.fact import REGISTRY, Fact
from libs.events.ids import Id
from libs.events.metering import RegisterValue
from libs.events.quantities import Count, EnergyWh, Instant, Ordinal
from libs.events.timekeeping import TimeAdvanced, TimeReached
from tests.node_support import NodeScript, node_script
from tools import catalogue, schemas
from tools.examples import examples, payloads

__all__ = ["node_script"]

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "schemas"
LOCK = schemas.read_lock(DOCS)
FOUND = schemas.schemas(REGISTRY, COMMANDS)


def with_fact(name: str, version: int, cls: type[Fact]) -> dict[str, schemas.Schema]:
    """All schemas, as if this class were registered under that name."""
    cls.fact_name, cls.fact_version, cls.families = name, version, TimeReached.families
    return schemas.schemas({**REGISTRY, (name, version): cls}, COMMANDS)


def faults(found: dict[str, schemas.Schema]) -> list[str]:
    return list(schemas.lock_faults(LOCK, found))


def changed(base: type[Fact], **fields: Any) -> type[Fact]:
    made = create_model(base.__name__, __base__=base, **fields)
    assert issubclass(made, Fact)
    return made


def test_nothing_differs_from_what_is_published(capsys: pytest.CaptureFixture[str]) -> None:
    assert schemas.main(["--check"]) == 0
    assert capsys.readouterr().out == ""


def test_everything_that_is_stored_or_signed_is_locked() -> None:
    names = {f"{name}.v{version}" for name, version in REGISTRY}
    names |= {f"Command.{name}" for name in COMMANDS} | {"Report", "Envelope"}

    assert set(LOCK) == set(FOUND) == names
    assert all(len(digest) == 64 for digest in LOCK.values())
    assert len(set(LOCK.values())) >= len(LOCK) - 2


def test_an_unchanged_registry_breaks_no_line() -> None:
    assert faults(FOUND) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"extra": (Count, ...)},
        {"extra": (Count | None, None)},
        {"cadence_s": (Count, ...)},
        {"cadence_s": (str, ...)},
        {"cadence_s": (Ordinal, 60)},
        {"cadence_s": (Ordinal | None, None)},
        {"to": (Id, ...)},
    ],
    ids=["added", "added optional", "wider", "other kind", "default", "optional", "other text"],
)
def test_a_changed_field_breaks_its_line(fields: dict[str, Any]) -> None:
    found = with_fact("TimeAdvanced", 1, changed(TimeAdvanced, **fields))

    assert faults(found) == [
        "TimeAdvanced.v1: its stored shape changed; make a new version (or command) instead"
    ]


def test_a_removed_field_breaks_its_line() -> None:
    class Shorter(Fact):
        to: Instant

    found = with_fact("TimeAdvanced", 1, Shorter)

    assert [fault.partition(":")[0] for fault in faults(found)] == ["TimeAdvanced.v1"]


def test_a_renamed_field_breaks_its_line() -> None:
    class Renamed(Fact):
        until: Instant

    found = with_fact("TimeReached", 1, Renamed)

    assert [fault.partition(":")[0] for fault in faults(found)] == ["TimeReached.v1"]


def test_a_reused_name_breaks_its_line() -> None:
    found = with_fact("InvoicePaid", 1, changed(TimeReached))

    assert [fault.partition(":")[0] for fault in faults(found)] == ["InvoicePaid.v1"]


def test_a_fact_that_is_gone_breaks_its_line() -> None:
    fewer = {key: cls for key, cls in REGISTRY.items() if key != ("InvoicePaid", 1)}

    assert faults(schemas.schemas(fewer, COMMANDS)) == [
        "InvoicePaid.v1: was stored once and is gone; restore it"
    ]


def test_a_part_that_changes_breaks_every_fact_that_holds_it() -> None:
    class Wider(RegisterValue):
        unit: Id | None = None

    cls = REGISTRY["MeterEnrolled", 1]
    found = with_fact("MeterEnrolled", 1, changed(cls, starts=(tuple[Wider, ...], ...)))

    assert [fault.partition(":")[0] for fault in faults(found)] == ["MeterEnrolled.v1"]


def test_a_changed_command_breaks_its_line() -> None:
    other = create_model("Pay", __base__=Pay, tip=(EnergyWh, ...))
    assert issubclass(other, Body)

    found = schemas.schemas(REGISTRY, {**COMMANDS, "Pay": other})

    assert [fault.partition(":")[0] for fault in faults(found)] == ["Command.Pay"]


def test_a_new_version_breaks_nothing() -> None:
    found = with_fact("TimeAdvanced", 2, changed(TimeAdvanced, extra=(Count, ...)))

    assert faults(found) == []
    assert "TimeAdvanced.v2" in found


def test_words_and_names_of_parts_are_free() -> None:
    reworded = copy.deepcopy(FOUND["ReadingRecorded.v1"])
    reworded["description"] = "Said in another way."
    reworded["$defs"]["Head"] = reworded["$defs"].pop("MeterHead")
    reworded["properties"]["head"] = {"$ref": "#/$defs/Head"}
    reworded["required"].reverse()

    assert schemas.shape_hash(reworded) == LOCK["ReadingRecorded.v1"]


def copy_of_the_project(folder: Path) -> Path:
    for name in schemas.wanted_files(FOUND, DOCS):
        target = folder / "docs" / "schemas" / name.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(name.read_bytes())
    (folder / "docs" / "events.md").write_bytes((ROOT / "docs" / "events.md").read_bytes())
    return folder


@pytest.mark.parametrize("name", ["schemas/InvoicePaid.v1.json", "schemas/lock.json", "events.md"])
def test_the_check_names_a_file_that_was_altered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    root = copy_of_the_project(tmp_path)
    path = root / "docs" / name
    path.write_text(path.read_text("utf-8").replace("\n", "\n\n", 1), "utf-8")

    assert schemas.main(["--check"], root) == 1
    assert capsys.readouterr().out.splitlines() == [f"{path.name}: out of date; run `make golden`"]


def test_the_check_names_a_file_that_is_missing_or_too_many(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = copy_of_the_project(tmp_path)
    (root / "docs" / "schemas" / "InvoicePaid.v1.json").unlink()
    (root / "docs" / "schemas" / "InvoicePaid.v7.json").write_text("{}")

    assert schemas.main(["--check"], root) == 1
    assert capsys.readouterr().out.splitlines() == [
        "InvoicePaid.v1.json: missing; run `make golden`",
        "InvoicePaid.v7.json: nothing has this schema",
    ]


def test_writing_never_changes_a_line_of_the_lock(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = copy_of_the_project(tmp_path)
    lock = root / "docs" / "schemas" / "lock.json"
    other = schemas.written(LOCK | {"InvoicePaid.v1": "0" * 64, "Gone.v1": "1" * 64})
    lock.write_text(other)
    (root / "docs" / "events.md").write_text("old")

    assert schemas.main([], root) == 1
    assert lock.read_text() == other
    assert (root / "docs" / "events.md").read_text() == "old"
    told = capsys.readouterr().out
    assert "InvoicePaid.v1: its stored shape changed" in told
    assert "Gone.v1: was stored once and is gone" in told


def test_writing_adds_a_line_for_what_is_new(tmp_path: Path) -> None:
    root = copy_of_the_project(tmp_path)
    lock = root / "docs" / "schemas" / "lock.json"
    lock.write_text(schemas.written({k: v for k, v in LOCK.items() if k != "InvoicePaid.v1"}))

    assert schemas.main(["--check"], root) == 1
    assert schemas.main([], root) == 0
    assert schemas.main(["--check"], root) == 0
    assert schemas.read_lock(root / "docs" / "schemas") == LOCK


@pytest.mark.parametrize("name", FOUND)
def test_a_schema_is_named_as_the_fact_names_it(name: str) -> None:
    schema = json.loads((DOCS / f"{name}.json").read_text("utf-8"))

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:heliograph:schema:{name.replace('.v', ':v')}"
    assert schema["additionalProperties"] is False
    assert '"null"' not in json.dumps(schema)
    for part in (schema, *schema.get("$defs", {}).values()):
        told = part["properties"].values()
        assert all("title" not in member for member in told)


def test_every_member_is_described() -> None:
    silent = [
        f"{name}.{member}"
        for name, schema in FOUND.items()
        for part in (schema, *schema.get("$defs", {}).values())
        for member, told in part["properties"].items()
        if not told.get("description") and member not in {"service", "command", "body"}
    ]

    assert silent == []


@pytest.mark.node
def test_a_foreign_validator_judges_as_we_do(node_script: NodeScript) -> None:
    cases: list[tuple[str, Any, bool]] = []
    for example in examples():
        document = json.loads(example.encoded()[1])
        cases.append((document["dataschema"], document["data"], True))
        cases.append(("urn:heliograph:schema:Envelope", document, True))
        cases.append(("urn:heliograph:schema:Envelope", document | {"extra": 1}, False))
        broken = _broken(document["data"], type(example.fact).model_json_schema())
        cases += [(document["dataschema"], bad, False) for bad in broken]
    for name, data in payloads().items():
        value = json.loads(data)
        cases.append((f"urn:heliograph:schema:{name}", value, True))
        schema = FOUND[name]
        cases += [(f"urn:heliograph:schema:{name}", bad, False) for bad in _broken(value, schema)]
    asked = [{"schema": schema, "value": value} for schema, value, _ in cases]

    verdicts = node_script(
        "check_schemas.mjs", stdin={"schemas": list(FOUND.values()), "cases": asked}
    )

    assert len(cases) > 400
    assert [case for case, verdict in zip(cases, verdicts, strict=True) if case[2] != verdict] == []


def _broken(value: dict[str, Any], schema: schemas.Schema) -> Iterator[dict[str, Any]]:
    """Faults that a schema can see."""
    yield value | {"unknown": 1}
    for name, member in value.items():
        if name in schema["required"]:
            yield {key: each for key, each in value.items() if key != name}
        yield value | {name: None}
        if isinstance(member, bool):
            yield value | {name: 1}
        elif isinstance(member, int):
            yield value | {name: member + 0.5}
            yield value | {name: 2**53}
            yield value | {name: str(member)}
            yield value | {name: -1}
        elif isinstance(member, str):
            yield value | {name: 7}
        else:
            yield value | {name: "text"}


def test_the_catalogue_names_every_fact_and_command() -> None:
    text = (ROOT / "docs" / "events.md").read_text("utf-8")

    assert all(f"#### {name}, version {version}" in text for name, version in REGISTRY)
    assert all(f"### {name}\n" in text for name in COMMANDS)
    assert all(f"schemas/{name}.json" in text for name in FOUND if name != "Report")
    assert "| `energy_wh` | integer | Wh | Energy in Wh. |" in text
    assert "`anchors.time.TimeReached`" in text


def test_an_integer_without_a_unit_stops_the_catalogue() -> None:
    class Unclear(Fact):
        """Something."""

        amount: Count
        """How much of what?"""

    Unclear.fact_name, Unclear.fact_version, Unclear.families = "Unclear", 1, TimeReached.families

    with pytest.raises(ValueError, match="amount: an integer whose name tells no unit"):
        catalogue.render({("Unclear", 1): Unclear}, {})
