"""Writes `docs/schemas`, the lock of stored shapes and the catalogue of facts in `docs/events.md`.

    python -m tools.schemas            write what is missing or out of date
    python -m tools.schemas --check    write nothing; fail on any difference

The lock holds one line for every shape that was ever stored or signed: a SHA-256 over its schema
without titles and descriptions. A line never changes and never goes away; a changed fact gets a new
version with an upcast. Stored bytes hold signed commands, and a service that starts reads them
again, so a command's shape is as lasting as a fact's: a command that may say more gets a higher
`shape` and one line more, `Command.<Name>.<shape>`; its schema is that of the newest shape, which
reads, and writes, every earlier one.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from libs.events.command import COMMANDS, Body, command_schema
from libs.events.envelope import Envelope
from libs.events.fact import REGISTRY, Fact, schema_name
from libs.events.metering import Report
from tools import catalogue

ROOT = Path(__file__).parents[1]
DRAFT = "https://json-schema.org/draft/2020-12/schema"
LOCK = "lock.json"

Schema = dict[str, Any]
Registry = Mapping[tuple[str, int], type[Fact]]


def fact_schema(cls: type[Fact]) -> Schema:
    """The JSON Schema of a fact's `data`, as it is stored."""
    return _finished(schema_name(cls), cls.model_json_schema())


def schemas(registry: Registry, commands: Mapping[str, type[Body]]) -> dict[str, Schema]:
    """Every schema, by the name of its file without the ending."""
    found = {f"{name}.v{version}": fact_schema(cls) for (name, version), cls in registry.items()}
    for name, body in commands.items():
        found[f"Command.{name}"] = _finished(_urn(f"Command.{name}"), command_schema(body))
    found["Report"] = _finished(_urn("Report"), Report.model_json_schema())
    envelope = Envelope.model_json_schema()
    del envelope["$defs"]
    envelope["properties"]["data"] = {"type": "object", "description": "The fact itself."}
    found["Envelope"] = _finished(_urn("Envelope"), envelope)
    return dict(sorted(found.items()))


def _urn(name: str) -> str:
    return f"urn:heliograph:schema:{name}"


def _finished(identifier: str, schema: Schema) -> Schema:
    """Name the schema, and say what is written: absent members are left out, never null."""
    for part in (schema, *schema.get("$defs", {}).values()):
        required = set(part.get("required", ()))
        for name, member in part.get("properties", {}).items():
            member.pop("title", None)  # only the name in other letters
            _strip_null(member)
            if "const" in member and "default" in member:
                del member["default"]
                required.add(name)
        if "properties" in part:
            part["required"] = [name for name in part["properties"] if name in required]
    return {"$schema": DRAFT, "$id": identifier, **schema}


def _strip_null(member: Schema) -> None:
    if "default" not in member or member["default"] is not None:
        return
    del member["default"]
    kinds = [kind for kind in member.pop("anyOf") if kind != {"type": "null"}]
    assert len(kinds) == 1, "an optional member has one kind"
    member.update(kinds[0])


def shape_hash(schema: Schema) -> str:
    """Hash what a schema allows: not how it is described, nor how its parts are named."""
    text = json.dumps(_shape(schema, schema.get("$defs", {})), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _shape(node: Any, parts: Mapping[str, Schema]) -> Any:
    if isinstance(node, list):
        return [_shape(each, parts) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _shape(parts[node["$ref"].rpartition("/")[2]], parts)
    found: Schema = {}
    for word, value in node.items():
        if word in {"title", "description", "$defs", "$id", "$schema"}:
            continue
        if word == "properties":
            found[word] = {name: _shape(member, parts) for name, member in value.items()}
        elif word in {"required", "enum"}:
            found[word] = sorted(value)
        else:
            found[word] = _shape(value, parts)
    return found


def written(value: Any) -> str:
    """JSON as it stands in our files."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def lock_line(name: str, shape: int) -> str:
    """Name of the line of a command's shape, from the name of its schema."""
    return name if shape == 1 else f"{name}.{shape}"


def lines(found: Mapping[str, Schema], commands: Mapping[str, type[Body]]) -> dict[str, str]:
    """The line of the lock that each schema has today: its hash, by the name of the line."""
    shapes = {f"Command.{name}": body.shape for name, body in commands.items()}
    return {
        lock_line(name, shapes.get(name, 1)): shape_hash(schema) for name, schema in found.items()
    }


def superseded(commands: Mapping[str, type[Body]]) -> set[str]:
    """The lines of every shape of a command that has a later one; no schema shows them any more."""
    return {
        lock_line(f"Command.{name}", shape)
        for name, body in commands.items()
        for shape in range(1, body.shape)
    }


def lock_faults(
    lock: Mapping[str, str], found: Mapping[str, Schema], commands: Mapping[str, type[Body]]
) -> Iterator[str]:
    """Name every line of the lock that is broken."""
    today, earlier = lines(found, commands), superseded(commands)
    for name, known in lock.items():
        if name in earlier:
            continue
        if name not in today:
            yield f"{name}: was stored once and is gone; restore it"
        elif today[name] != known:
            yield f"{name}: its stored shape changed; make a new version (of a command: shape)"
    for name in sorted(earlier - lock.keys()):
        yield f"{name}: this earlier shape was never locked; shapes are counted one by one"


def read_lock(folder: Path) -> dict[str, str]:
    """The lock as it stands, empty when there is none yet."""
    path = folder / LOCK
    lock: dict[str, str] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return lock


def wanted_files(
    found: Mapping[str, Schema], commands: Mapping[str, type[Body]], folder: Path
) -> dict[Path, str]:
    """Every file of the folder with its text."""
    files = {folder / f"{name}.json": written(schema) for name, schema in found.items()}
    lock = lines(found, commands) | read_lock(folder)
    files[folder / LOCK] = written(dict(sorted(lock.items())))
    return files


def differences(files: Mapping[Path, str], folder: Path) -> Iterator[str]:
    """Name every file that is missing, out of date or too many."""
    for path, text in files.items():
        if not path.exists():
            yield f"{path.name}: missing; run `make golden`"
        elif path.read_text("utf-8") != text:
            yield f"{path.name}: out of date; run `make golden`"
    for path in sorted(folder.glob("*.json")):
        if path not in files:
            yield f"{path.name}: nothing has this schema"


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Write or check; the exit code is 1 when something is wrong."""
    parser = argparse.ArgumentParser(prog="tools.schemas", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    is_check = parser.parse_args(arguments).check
    folder = root / "docs" / "schemas"
    found = schemas(REGISTRY, COMMANDS)
    files = wanted_files(found, COMMANDS, folder)
    files[root / "docs" / "events.md"] = catalogue.render(REGISTRY, COMMANDS)
    faults = list(lock_faults(read_lock(folder), found, COMMANDS))
    if is_check:
        faults += differences(files, folder)
    elif not faults:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            path.write_text(text, "utf-8")
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
