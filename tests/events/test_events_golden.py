"""The stored bytes of every fact stand in `tests/golden`, and today's code makes and reads them.

A golden file is never rewritten: if one of these tests fails, bytes that are stored somewhere would
no longer be what we write, or could no longer be read. Make a new version of the fact.
"""

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from libs.events.command import COMMANDS, read_command, write_command
from libs.events.envelope import decode
from libs.events.fact import LATEST, REGISTRY, Fact
from libs.events.jws import MessageType, Signed, parse, verify
from libs.events.metering import Report
from libs.events.positions import Position, fact_hash
from tools import golden, schemas
from tools.example_parts import DEPLOYMENT, Example
from tools.examples import examples, payloads

GOLDEN = Path(__file__).parents[1] / "golden"
FACTS, PAYLOADS = GOLDEN / "facts", GOLDEN / "payloads"
EXAMPLES = {example.name: example for example in examples()}
MANIFEST: dict[str, dict[str, Any]] = json.loads((FACTS / "manifest.json").read_text("utf-8"))
SIGNED: dict[str, MessageType] = {"command": "hg-command+jws", "report": "hg-report+jws"}


def bytes_of(name: str) -> bytes:
    return (FACTS / f"{name}.json").read_bytes()


Place = tuple[str, ...]


def places(value: Any, *, is_empty: bool = False, at: Place = ()) -> set[Place]:
    """The members that hold something, or those that hold nothing; of a list, of any item."""
    if isinstance(value, Fact):
        value = value.model_dump()
    if isinstance(value, dict):
        inside = [(member, (*at, name)) for name, member in value.items()]
    elif isinstance(value, (list, tuple)):
        inside = [(item, at) for item in value]
    else:
        inside = []
    found = {at} if (value is None) == is_empty else set()
    return found.union(*(places(each, is_empty=is_empty, at=place) for each, place in inside))


def released(name: str) -> str:
    """Fact and version of a golden file."""
    return ".".join(name.split(".")[:2])


def test_every_version_of_every_fact_has_its_golden_file() -> None:
    full = {released(name) for name in MANIFEST if not name.endswith(".least")}

    assert full == {f"{name}.v{version}" for name, version in REGISTRY}
    assert {path.stem for path in FACTS.glob("*.json")} == {*MANIFEST, "manifest"}
    newest = {f"{name}.v{cls.fact_version}" for name, cls in LATEST.items()}
    assert {released(name) for name in EXAMPLES} == newest


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=lambda example: example.name)
def test_a_fact_is_written_as_exactly_these_bytes(example: Example) -> None:
    subject, data = example.encoded()

    assert data == bytes_of(example.name)
    assert subject == MANIFEST[example.name]["subject"]


@pytest.mark.parametrize("name", MANIFEST)
def test_the_stored_bytes_are_read_for_ever(name: str) -> None:
    line, data = MANIFEST[name], bytes_of(name)
    recorded = decode(
        deployment=DEPLOYMENT,
        stream=line["stream"],
        sequence=line["sequence"],
        subject=line["subject"],
        data=data,
    )

    assert hashlib.sha256(data).hexdigest() == line["sha256"]
    assert recorded.data == data
    assert str(recorded.position) == line["position"]
    assert recorded.position == Position(line["stream"], line["sequence"], fact_hash(data))
    assert line["sha256"].startswith(recorded.position.hash)
    assert type(recorded.fact) is LATEST[recorded.fact.fact_name]
    if name in EXAMPLES:
        assert recorded.envelope.data == EXAMPLES[name].fact


def test_a_first_version_is_read_as_the_version_that_followed() -> None:
    older = {f"{name}.v{version}" for name, version in REGISTRY} - set(map(released, EXAMPLES))

    assert {name.partition(".")[0] for name in older} == {
        "AgreementOpened",
        "InvestmentMade",
        "InvoiceIssued",
        "PaymentSettled",
        "RaiseAccepted",
        "SystemProposed",
        "TariffPublished",
    }
    assert older <= set(MANIFEST)  # so the test above reads each of them


@pytest.mark.parametrize("name", sorted({released(name) for name in EXAMPLES}))
def test_full_examples_have_every_optional_member_and_the_least_lacks_some(name: str) -> None:
    full = [each for each in EXAMPLES.values() if released(each.name) == name and not each.is_least]
    least = EXAMPLES.get(f"{name}.least")
    shown: set[Place] = set()
    for example in full:
        shown |= places(example.fact)
    empty = {place for each in full for place in places(each.fact, is_empty=True)} - shown

    assert empty == set()
    assert (least is not None) == _has_optional_members(type(full[0].fact))
    if least is not None:
        assert places(least.fact, is_empty=True)
    for example in full:
        assert b"null" not in bytes_of(example.name)


def _has_optional_members(fact: type[Fact]) -> bool:
    return '"type": "null"' in json.dumps(fact.model_json_schema())


@pytest.mark.parametrize("member", SIGNED)
def test_the_signed_texts_inside_are_really_signed(member: str) -> None:
    documents = {name: json.loads(bytes_of(name))["data"] for name in MANIFEST}
    texts = {name: data[member] for name, data in documents.items() if member in data}
    meant_for = {
        name: verify(parse(text, SIGNED[member]))["deployment"] for name, text in texts.items()
    }

    assert len(meant_for) > 3
    assert set(meant_for.values()) == {DEPLOYMENT}


@pytest.mark.parametrize("name", sorted(path.stem for path in PAYLOADS.glob("*.json")))
def test_what_was_signed_is_read_and_written_as_exactly_these_bytes(name: str) -> None:
    data = (PAYLOADS / f"{name}.json").read_bytes()

    assert payloads()[name] == data
    if name == "Report":
        assert Report.model_validate_json(data).model_dump_json().encode() == data
    else:
        found = read_command(Signed("", data, b"", b""))
        assert name.split(".")[:2] == ["Command", found.command]
        assert write_command(found) == data


def test_every_shape_of_every_command_has_its_golden_payload() -> None:
    stems = {path.stem for path in PAYLOADS.glob("*.json")}
    shapes = {
        schemas.lock_line(f"Command.{name}", shape)
        for name, body in COMMANDS.items()
        for shape in range(1, body.shape + 1)
    }

    assert stems == shapes | {"Report"} == set(payloads())


@pytest.mark.parametrize("name", [name for name, body in COMMANDS.items() if body.shape > 1])
def test_a_later_shape_says_what_no_earlier_one_can(name: str) -> None:
    shapes = [schemas.lock_line(f"Command.{name}", n) for n in range(1, COMMANDS[name].shape + 1)]
    told = [set(json.loads((PAYLOADS / f"{line}.json").read_bytes())["body"]) for line in shapes]

    for earlier, later in itertools.pairwise(told):
        assert later - earlier


def test_nothing_is_missing_and_nothing_is_written_twice(tmp_path: Path) -> None:
    written = golden.write_missing(tmp_path)
    names = {str(path.relative_to(tmp_path)) for path in written}
    ours = {f"payloads/{path.name}" for path in PAYLOADS.glob("*.json")}
    ours |= {f"facts/{name}.json" for name in (*EXAMPLES, "manifest")} | {"jws-vectors.json"}
    lines = json.loads((tmp_path / "facts" / "manifest.json").read_text("utf-8"))

    assert names == ours
    assert {name: MANIFEST[name] for name in lines} == lines
    for name in names - {"facts/manifest.json"}:  # ours also tells of versions that are no more
        assert (tmp_path / name).read_bytes() == (GOLDEN / name).read_bytes()
    assert golden.write_missing(tmp_path) == []


def test_a_golden_file_that_exists_is_never_touched(tmp_path: Path) -> None:
    golden.write_missing(tmp_path)
    fact, manifest = (
        tmp_path / "facts" / "TimeReached.v1.json",
        tmp_path / "facts" / "manifest.json",
    )
    lines = json.loads(manifest.read_text("utf-8"))
    lines["TimeReached.v1"]["sha256"] = "as it was"
    lines["Forgotten.v1"] = {"sha256": "of a fact that is gone"}
    fact.write_bytes(b"as it was")
    manifest.write_text(json.dumps(lines), "utf-8")

    assert golden.write_missing(tmp_path) == []
    assert fact.read_bytes() == b"as it was"
    assert json.loads(manifest.read_text("utf-8")) == lines


def test_only_what_is_missing_is_written(tmp_path: Path) -> None:
    golden.write_missing(tmp_path)
    gone = tmp_path / "facts" / "InvoicePaid.v1.json"
    gone.unlink()

    assert golden.write_missing(tmp_path) == [gone]
    assert gone.read_bytes() == bytes_of("InvoicePaid.v1")
