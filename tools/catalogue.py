"""Renders `docs/events.md`: every fact and every command, from the registry.

The text is that of the docstrings, so that there is one place to say what a member means. An
integer whose unit cannot be told from its name stops the generator: give it a name with a unit, or
add it to `PLAIN_NUMBERS`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from libs.events.anchoring import Base64Text
from libs.events.books import TimeZone
from libs.events.command import Body
from libs.events.fact import Fact, schema_name, type_name
from libs.events.ids import Address, HashHex, Id, Reference
from libs.events.metering import SignedText
from libs.events.positions import PositionText
from libs.events.pricing import Asset
from libs.events.quantities import INSTANT_PATTERN, LocalDate
from libs.events.subjects import FAMILIES, StreamFamily


def _pattern_of(kind: Any) -> str:
    found = TypeAdapter(kind).json_schema()["pattern"]
    assert isinstance(found, str)
    return found


UNITS = {
    "_stroops_per_kwh": "stroops per kWh",
    "_stroops_per_month": "stroops a month",
    "_stroops": "stroops",
    "_ppm_year": "ppm a year",
    "_ppm": "ppm",
    "days": "days",
    "_periods": "billing periods",
    "periods_late": "billing periods",
    "values": "stroops",
    "_wh_year": "Wh a year",
    "_wh": "Wh",
    "_w": "W",
    "_s": "s",
    "shares": "shares",
    "units": "units of title",
}
"""Unit by the end of a member's name, the longest first."""

PLAIN_NUMBERS = frozenset(
    {
        "base_lines",
        "count",
        "epoch",
        "first_count",
        "first_seq",
        "from_stage",
        "holding_count",
        "last_seq",
        "ledger",
        "line",
        "number",
        "orders",
        "outliers",
        "positions",
        "quorum",
        "rated_intervals",
        "round",
        "seq",
        "tariff_version",
        "tier",
        "to_stage",
        "unrated_intervals",
        "version",
    }
)
"""Integers that count or number something and have no unit."""

WORDS = {
    _pattern_of(Id): "id",
    _pattern_of(Reference): "reference",
    _pattern_of(Address): "Stellar address",
    _pattern_of(HashHex): "SHA-256",
    _pattern_of(PositionText): "position",
    _pattern_of(SignedText): "signed message",
    _pattern_of(Base64Text): "XDR in base64",
    _pattern_of(Asset): "asset",
    _pattern_of(TimeZone): "time zone",
    _pattern_of(LocalDate): "local date",
    INSTANT_PATTERN: "instant",
}
"""What texts of a kind are called, by their pattern."""

KEYS = {"READINGS": "meter", "METERS": "meter", "MEMBERS": "member", "PRICES": "feed"}
"""What the key of a family's subjects is (of a tariff, the tariff); elsewhere it is whatever the
fact is about."""

HEAD = """# Facts and commands

Made by `python -m tools.schemas` from the registry in `libs/events`; change the docstrings there.

Every fact stands in the envelope of decision 0001 (`schemas/Envelope.json`); the tables below are
its `data`. The exact shapes are in `schemas/`, the exact bytes of one example each in
`tests/golden/facts/`. Integers are at most 2^53 - 1. Instants are UTC, whole seconds, written
`YYYY-MM-DDTHH:MM:SSZ`. An optional member that is absent is left out, never null.

"""


def render(
    registry: Mapping[tuple[str, int], type[Fact]], commands: Mapping[str, type[Body]]
) -> str:
    """Write the whole page."""
    lines: list[str] = ["## Facts", ""]
    shapes: dict[str, dict[str, Any]] = {}
    for family in FAMILIES.values():
        own = [cls for cls in registry.values() if cls.families[0] is family]
        lines += [f"### {_stream(family)}", "", _who(family), ""]
        for cls in sorted(own, key=lambda cls: (cls.fact_name, cls.fact_version)):
            lines += _fact(cls)
            shapes |= cls.model_json_schema().get("$defs", {})
    lines += ["## Commands", "", *_preface(), ""]
    for name, body in sorted(commands.items()):
        newest = "" if body.shape == 1 else f" Shape {body.shape}."
        lines += [f"### {name}", "", f"To `{body.service}`. {_line(body.__doc__)}{newest}", ""]
        schema = body.model_json_schema()
        lines += [
            *_table(schema),
            "",
            f"Schema: [Command.{name}](schemas/Command.{name}.json).",
            "",
        ]
        shapes |= schema.get("$defs", {})
    lines += ["## Parts", "", "What stands inside facts and commands.", ""]
    for name, shape in sorted(shapes.items()):
        lines += [f"### {name}", "", _line(shape["description"]), "", *_table(shape), ""]
    return HEAD + "\n".join(lines)


def _preface() -> Iterator[str]:
    yield "A command is the payload of a `hg-command+jws` with the claims of decision 0001; the"
    yield "tables below are its `body`. A command may come to say more, in a higher shape:"
    yield "what is added is optional, and what was signed before is read as it was."


def _line(text: str | None) -> str:
    return " ".join((text or "").split())


def _stream(family: StreamFamily) -> str:
    part = {"partition": "_<p>", "book": "_<book>", "nothing": ""}[family.parted_by]
    return f"`{family.name}{part}`"


def _who(family: StreamFamily) -> str:
    readers = ", ".join(dict.fromkeys((*family.readers, "anchor")))
    return f"Written by {family.writer}; followed by {readers} and projection."


def _subject(family: StreamFamily, cls: type[Fact]) -> str:
    part = {"partition": "p", "book": "book", "nothing": ""}[family.parted_by]
    if cls.fact_name in {"TimeAdvanced", "TimeReached"}:
        subject = family.subject(part, "time", cls.fact_name)
    else:
        key = KEYS.get(family.name, "key")
        if key == "feed" and "tariff" in cls.model_fields:
            key = "tariff"
        subject = family.subject(part, "key", cls.fact_name).replace(".key.", f".<{key}>.")
    return subject.replace(f".{part}.", f".<{part}>.") if part else subject


def _fact(cls: type[Fact]) -> Iterator[str]:
    yield f"#### {cls.fact_name}, version {cls.fact_version}"
    yield ""
    yield _line(cls.__doc__)
    yield ""
    for family in cls.families:
        yield f"- Stands at `{_subject(family, cls)}` in {_stream(family)}."
    yield f"- Type `{type_name(cls)}`, schema [`{schema_name(cls)}`]({_file(cls)})."
    yield ""
    yield from _table(cls.model_json_schema())
    yield ""


def _file(cls: type[Fact]) -> str:
    return f"schemas/{cls.fact_name}.v{cls.fact_version}.json"


def _table(schema: Mapping[str, Any]) -> Iterator[str]:
    yield "| member | what | unit | meaning |"
    yield "|---|---|---|---|"
    required = set(schema.get("required", ()))
    for name, member in schema["properties"].items():
        kind, unit = _kind(name, member)
        optional = "" if name in required else ", optional"
        meaning = _line(member.get("description"))
        yield f"| `{name}` | {kind}{optional} | {unit} | {meaning} |"


def _kind(name: str, member: Mapping[str, Any]) -> tuple[str, str]:
    """What a member is, and in which unit."""
    choices = member.get("anyOf") or member.get("oneOf")
    if choices:
        kinds = [_kind(name, each) for each in choices if each.get("type") != "null"]
        return " or ".join(kind for kind, _ in kinds), kinds[0][1]
    if "$ref" in member:
        part = member["$ref"].rpartition("/")[2]
        return f"[{part}](#{part.lower()})", ""
    match member.get("type"):
        case "array":
            kind, unit = _kind(name, member["items"])
            return f"list of {kind}", unit
        case "integer":
            return "integer", _unit(name)
        case "string":
            return _text(member), ""
        case "boolean" | "object" as plain:
            return {"boolean": "true or false", "object": "texts by name"}[plain], ""
        case other:
            raise ValueError(f"{name}: no word for a member of type {other}")


def _text(member: Mapping[str, Any]) -> str:
    choices: Sequence[str] = member.get("enum") or [member["const"]] if _is_choice(member) else ()
    if choices:
        return " or ".join(f"`{choice}`" for choice in choices)
    return WORDS.get(member.get("pattern", ""), "text")


def _is_choice(member: Mapping[str, Any]) -> bool:
    return "enum" in member or "const" in member


def _unit(name: str) -> str:
    for ending, unit in UNITS.items():
        if name.endswith(ending):
            return unit
    if name in PLAIN_NUMBERS:
        return "number"
    raise ValueError(f"{name}: an integer whose name tells no unit")
