"""The stored bytes of every fact stand in `tests/golden`, and today's code makes and reads them.

A golden file is never rewritten: if one of these tests fails, bytes that are stored somewhere would
no longer be what we write, or could no longer be read. Make a new version of the fact.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from libs.events.command import COMMANDS, read_command, write_command
from libs.events.envelope import decode
from libs.events.fact import LATEST, REGISTRY
from libs.events.jws import MessageType, Signed, parse, verify
from libs.events.metering import Report
from libs.events.positions import Position, fact_hash
from tools import golden
from tools.example_parts import DEPLOYMENT, Example
from tools.examples import examples, payloads

GOLDEN = Path(__file__).parents[1] / "golden"
FACTS = GOLDEN / "facts"
EXAMPLES = {example.name: example for example in examples()}
MANIFEST: dict[str, dict[str, Any]] = json.loads((FACTS / "manifest.json").read_text("utf-8"))
SIGNED: dict[str, MessageType] = {"command": "hg-command+jws", "report": "hg-report+jws"}


def bytes_of(name: str) -> bytes:
    return (FACTS / f"{name}.json").read_bytes()


def null_places(value: Any) -> int:
    if isinstance(value, dict):
        return sum(null_places(member) for member in value.values())
    if isinstance(value, (list, tuple)):
        return sum(null_places(item) for item in value)
    return value is None


def test_every_version_of_every_fact_has_its_golden_file() -> None:
    full = {name for name in MANIFEST if not name.endswith(".least")}

    assert full == {f"{name}.v{version}" for name, version in REGISTRY}
    assert {path.stem for path in FACTS.glob("*.json")} == {*MANIFEST, "manifest"}
    assert {f"{name}.v{cls.fact_version}" for name, cls in LATEST.items()} <= set(EXAMPLES)


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


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=lambda example: example.name)
def test_a_full_example_has_every_optional_member_and_the_least_has_none(example: Example) -> None:
    nulls = null_places(example.fact.model_dump())
    least = EXAMPLES.get(f"{type(example.fact).fact_name}.v{type(example.fact).fact_version}.least")

    if example.is_least:
        assert nulls > 0
    else:
        assert nulls == 0
        assert (least is not None) == _has_optional_members(example)
    assert b"null" not in bytes_of(example.name)


def _has_optional_members(example: Example) -> bool:
    schema = json.dumps(type(example.fact).model_json_schema())
    return '"type": "null"' in schema


@pytest.mark.parametrize("member", SIGNED)
def test_the_signed_texts_inside_are_really_signed(member: str) -> None:
    documents = {name: json.loads(bytes_of(name))["data"] for name in MANIFEST}
    texts = {name: data[member] for name, data in documents.items() if member in data}
    meant_for = {
        name: verify(parse(text, SIGNED[member]))["deployment"] for name, text in texts.items()
    }

    assert len(meant_for) > 3
    assert set(meant_for.values()) == {DEPLOYMENT}


@pytest.mark.parametrize("name", sorted(payloads()))
def test_what_is_signed_is_written_and_read_as_exactly_these_bytes(name: str) -> None:
    data = (GOLDEN / "payloads" / f"{name}.json").read_bytes()

    assert payloads()[name] == data
    if name == "Report":
        assert Report.model_validate_json(data).model_dump_json().encode() == data
    else:
        found = read_command(Signed("", data, b"", b""))
        assert f"Command.{found.command}" == name
        assert write_command(found) == data


def test_every_command_has_its_golden_payload() -> None:
    stems = {path.stem for path in (GOLDEN / "payloads").glob("*.json")}

    assert stems == {f"Command.{name}" for name in COMMANDS} | {"Report"}


def test_nothing_is_missing_and_nothing_is_written_twice(tmp_path: Path) -> None:
    written = golden.write_missing(tmp_path)
    names = {str(path.relative_to(tmp_path)) for path in written}
    ours = [path for folder in ("facts", "payloads") for path in (GOLDEN / folder).glob("*.json")]

    assert names == {str(path.relative_to(GOLDEN)) for path in ours} | {"jws-vectors.json"}
    assert all((tmp_path / name).read_bytes() == (GOLDEN / name).read_bytes() for name in names)
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
