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
from libs.events.fact import REGISTRY, Fact
from libs.events.ids import Id
from libs.events.metering import RegisterValue
from libs.events.quantities import Count, EnergyWh, Instant, Ordinal, PositiveStroops
from libs.events.system_commands import Pay, Prepay
from libs.events.timekeeping import TimeAdvanced, TimeReached
from tests.node_support import NodeScript, node_script
from tools import catalogue, schemas
from tools.examples import examples, payloads

__all__ = ["node_script"]

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "schemas"
LOCK = schemas.read_lock(DOCS)
FOUND = schemas.schemas(REGISTRY, COMMANDS)


FIRST_SHAPES = {
    "Command.Invest": "3bc5e4c46d238a6e",
    "Command.OpenAgreement": "55e0a2d67bb694f0",
    "Command.Pay": "19bf44919d63bc64",
    "Command.ProposeSystem": "9cfbde904a91487b",
    "Command.PublishTariff": "e7447eb84ec00fad",
}
"""How the lines of commands that have a later shape begin, by hand."""


def with_fact(name: str, version: int, cls: type[Fact]) -> dict[str, schemas.Schema]:
    """All schemas, as if this class were registered under that name."""
    cls.fact_name, cls.fact_version, cls.families = name, version, TimeReached.families
    return schemas.schemas({**REGISTRY, (name, version): cls}, COMMANDS)


def faults(found: dict[str, schemas.Schema]) -> list[str]:
    return list(schemas.lock_faults(LOCK, found, COMMANDS))


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
    shapes = {f"Command.{name}.{body.shape}" for name, body in COMMANDS.items() if body.shape > 1}

    assert set(FOUND) == names
    assert set(LOCK) == names | shapes
    assert all(body.shape <= 2 for body in COMMANDS.values())  # else name the shapes between
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
        "TimeAdvanced.v1: its stored shape changed; make a new version (of a command: shape)"
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


def with_command(name: str, body: type[Body], shape: int) -> list[str]:
    """The faults if a command were this body, in that shape."""
    body.command_name, body.service, body.shape = name, COMMANDS[name].service, shape
    commands = {**COMMANDS, name: body}
    return list(schemas.lock_faults(LOCK, schemas.schemas(REGISTRY, commands), commands))


def more_of(base: type[Body]) -> type[Body]:
    """The same command with one optional member more."""
    made = create_model(base.__name__, __base__=base, tip_wh=(EnergyWh | None, None))
    assert issubclass(made, Body)
    return made


SHAPE_CHANGED = "its stored shape changed; make a new version (of a command: shape)"


def test_a_command_may_not_change_in_its_shape() -> None:
    assert with_command("Prepay", more_of(Prepay), 1) == [f"Command.Prepay: {SHAPE_CHANGED}"]
    assert with_command("Pay", more_of(Pay), 2) == [f"Command.Pay.2: {SHAPE_CHANGED}"]


def test_a_command_that_says_more_has_a_higher_shape_and_a_line_more(tmp_path: Path) -> None:
    wider = more_of(Pay)
    assert with_command("Pay", wider, 3) == []
    commands = {**COMMANDS, "Pay": wider}
    (tmp_path / "lock.json").write_text(schemas.written(LOCK))

    files = schemas.wanted_files(schemas.schemas(REGISTRY, commands), commands, tmp_path)

    lock = json.loads(files[tmp_path / "lock.json"])
    assert {name: lock[name] for name in LOCK} == LOCK
    assert set(lock) - set(LOCK) == {"Command.Pay.3"}
    assert "tip_wh" in files[tmp_path / "Command.Pay.json"]
    assert not {path.name for path in files} & {"Command.Pay.2.json", "Command.Pay.3.json"}


def test_an_earlier_shape_is_kept_only_under_a_higher_one() -> None:
    class Shorter(Body):
        """What `Pay` was in its first shape."""

        agreement: Id
        """The agreement."""
        amount_stroops: PositiveStroops
        """Amount in stroops."""

    assert with_command("Pay", Shorter, 1) == [
        "Command.Pay.2: was stored once and is gone; restore it"
    ]
    assert with_command("Pay", Shorter, 2) == [f"Command.Pay.2: {SHAPE_CHANGED}"]


def test_shapes_are_counted_one_by_one() -> None:
    assert with_command("Prepay", more_of(Prepay), 3) == [
        "Command.Prepay.2: this earlier shape was never locked; shapes are counted one by one"
    ]


def test_the_first_shapes_stand_as_they_were_released() -> None:
    """Nothing else can tell that these lines were not edited: no schema shows them any more."""
    assert {name: LOCK[name][:16] for name in schemas.superseded(COMMANDS)} == FIRST_SHAPES


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
    for name in schemas.wanted_files(FOUND, COMMANDS, DOCS):
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
        newest = ".".join(name.split(".")[:2])  # which reads every earlier shape too
        urn, schema = f"urn:heliograph:schema:{newest}", FOUND[newest]
        cases.append((urn, value, True))
        cases += [(urn, bad, False) for bad in _broken(value, schema)]
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
