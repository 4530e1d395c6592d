"""Every fact, command and report refuses whatever is not exactly what it says.

Each golden example is changed in one place after another (a float for an integer, an unknown
member, a missing one, ...), and each change must be refused. One fact that let one of them pass
would let two readers disagree about what was stored.
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from libs.events.batch import Batch, item_command
from libs.events.command import COMMANDS, command_schema, read_command
from libs.events.envelope import decode
from libs.events.errors import InvalidFact, InvalidSignature
from libs.events.jws import Signed
from libs.events.metering import Report
from tools.example_parts import DEPLOYMENT, Example
from tools.examples import examples, payloads

EXAMPLES = {example.name: example for example in examples()}
PAYLOADS = {name: data for name, data in payloads().items() if name.startswith("Command.")}

WRONG: dict[type, tuple[Any, ...]] = {
    bool: (1, 0, "true", None, [True]),
    int: (1.0, 1.5, "1", True, None, [1], {}, 2**53, -1, 10**40),
    str: (1, True, None, ["a"], {}, "a\n", "\u00e9 ", "a b*", "x" * 200_000),
    list: ({}, "a", None, 1, [None], [[]]),
    dict: ([], "a", None, 1),
}
"""What is put in place of a value of each kind."""

FREE_TEXT = {"detail", "network", "round_text", "reason", "source", "note", "name", "reference"}
"""Members that may hold any text up to a length; a reference printable ASCII only."""

OF_EITHER_SIGN = {"deltas_wh", "values", "add_stroops_per_kwh"}
"""Members whose integers may be below zero: a correction, a price on a market."""

Place = tuple[str | int, ...]
Changed = tuple[str, Any]


def places(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    yield place, value
    if isinstance(value, dict):
        for name, member in value.items():
            yield from places(member, (*place, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*place, index))


def put(document: Any, place: Place, value: Any) -> Any:
    changed = copy.deepcopy(document)
    at = changed
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    return changed


def _part(schema: Any, step: str | int, root: Any) -> Any:
    """The schema of one member or item, references and alternatives resolved."""
    found = schema["items"] if isinstance(step, int) else schema.get("properties", {}).get(step)
    found = found or schema.get("additionalProperties") or schema.get("patternProperties") or {}
    found = next((each for each in found.get("anyOf", ()) if each.get("type") != "null"), found)
    return root["$defs"][found["$ref"].rpartition("/")[2]] if "$ref" in found else found


def is_optional(schema: Any, place: Place) -> bool:
    """Tell by the JSON Schema whether a member may be absent; what it may hold is not asked."""
    parent = schema
    for step in place[:-1]:
        parent = _part(parent, step, schema)
    return isinstance(place[-1], str) and place[-1] not in parent.get("required", ())


def faults(document: Any, schema: Any) -> Iterator[Changed]:
    """The document with one fault, many times, each with a word on what and where."""
    for place, value in places(document):
        name = ".".join(map(str, place))
        if place:
            for wrong in WRONG[type(value)]:
                if not _may_be(schema, place, wrong):
                    yield f"{name} = {str(wrong)[:20]!r}", put(document, place, wrong)
        if isinstance(value, dict):
            if place[-1:] != ("metadata",):
                yield f"{name} with a member more", _with_more(document, place)
            for member in value:
                if not is_optional(schema, (*place, member)):
                    yield f"{name} without {member}", _without(document, (*place, member))


def _may_be(schema: Any, place: Place, wrong: Any) -> bool:
    """Tell whether what is wrong elsewhere is right at this place."""
    is_text = isinstance(wrong, str)
    return any(
        (
            place[-1] in FREE_TEXT and is_text and len(wrong) < 1_000,
            str(place[-1]).endswith("_xdr") and is_text and wrong.startswith("x"),  # base64
            wrong == -1 and not OF_EITHER_SIGN.isdisjoint(place),
            place[:2] == ("body", "documents") and is_text and len(wrong) < 200,  # the decider says
            wrong is None and is_optional(schema, place),
        )
    )


def _with_more(document: Any, place: Place) -> Any:
    changed = copy.deepcopy(document)
    at = changed
    for step in place:
        at = at[step]
    at["unknown"] = 1
    return changed


def _without(document: Any, place: Place) -> Any:
    changed = copy.deepcopy(document)
    at = changed
    for step in place[:-1]:
        at = at[step]
    del at[place[-1]]
    return changed


def written(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def fact_fault(stream: str, subject: str, data: bytes) -> str | None:
    """The rule that refuses the bytes, or None when they pass."""
    try:
        decode(deployment=DEPLOYMENT, stream=stream, sequence=1, subject=subject, data=data)
    except InvalidFact as error:
        return error.rule
    return None


def command_fault(payload: bytes) -> InvalidSignature | None:
    try:
        claims = read_command(Signed("", payload, b"", b""))
    except InvalidSignature as error:
        return error
    items = claims.body.commands if isinstance(claims.body, Batch) else ()
    for number, item in enumerate(items):  # each is refused by itself
        try:
            item_command(claims, item)
        except InvalidSignature as error:
            return InvalidSignature(f"body.commands.{number}.{error}", rule="command-schema")
    return None


def is_refused_report(payload: bytes) -> bool:
    try:
        Report.model_validate_json(payload)
    except ValidationError:
        return True
    return False


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=lambda example: example.name)
def test_a_fact_is_exactly_what_it_says(example: Example) -> None:
    subject, data = example.encoded()
    document = json.loads(data)
    found = list(faults(document["data"], type(example.fact).model_json_schema()))
    rules = {
        what: fact_fault(example.stream, subject, written(document | {"data": changed}))
        for what, changed in found
    }

    assert len(found) > 5
    assert {what: rule for what, rule in rules.items() if rule not in {"schema", "size"}} == {}


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_command_is_exactly_what_it_says_and_a_refusal_names_the_member(name: str) -> None:
    document = json.loads(PAYLOADS[name])
    schema = command_schema(COMMANDS[name.split(".")[1]])
    found = list(faults(document, schema))
    refusals = {what: command_fault(written(changed)) for what, changed in found}
    misnamed = {
        what: str(error)
        for what, error in refusals.items()
        if " = " in what
        and error is not None
        and not str(error).startswith((what.partition(" = ")[0], "payload: "))
    }

    assert len(found) > 20
    assert {error and error.rule for error in refusals.values()} == {"command-schema"}
    assert misnamed == {}


def test_a_report_is_exactly_what_it_says() -> None:
    document = json.loads(payloads()["Report"])
    found = list(faults(document, Report.model_json_schema()))
    passed = [what for what, changed in found if not is_refused_report(written(changed))]

    assert len(found) > 20
    assert passed == []


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=lambda example: example.name)
def test_a_fact_is_frozen(example: Example) -> None:
    member = next(iter(type(example.fact).model_fields))

    with pytest.raises(ValidationError, match="frozen"):
        setattr(example.fact, member, None)
    assert example.fact == example.fact.model_copy()
