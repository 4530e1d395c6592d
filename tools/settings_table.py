"""Writes `docs/settings.md`: every setting of every service, from the classes that read them.

    python -m tools.settings_table            write the page
    python -m tools.settings_table --check    write nothing; fail on any difference

A service is found by its folder, so that a new one cannot be forgotten here.
"""

import argparse
import importlib
import pkgutil
import sys
import types
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

import services
from heliograph.settings import BootstrapSettings
from libs.runtime.settings import ServiceSettings, SharedSettings

PAGE: Final = Path(__file__).parents[1] / "docs" / "settings.md"

HEAD: Final = """# Settings

Made by `python -m tools.settings_table` from the settings classes; change the descriptions there.

A process reads its settings once, at start, from the environment. A variable is
`HELIOGRAPH_<NAME>` for what all services share and `HELIOGRAPH_<SERVICE>_<NAME>` for what is one
service's own. A shared one can be set for one service alone, and wins there:
`HELIOGRAPH_INGEST_NATS_USER` before `HELIOGRAPH_NATS_USER`. A secret can be read from a file,
named by the same variable with `_FILE` at its end; setting both is refused. An empty variable
counts as not set. A list is JSON, or values with commas between.

Whatever is wrong ends the process at start with exit code 2 and one line for each variable. A
variable of a service that it does not know is refused, with the nearest name it knows. At start
each process logs its settings with secrets hidden (event `settings`).

The embedded stack (`heliograph up`, `heliograph demo`) sets these variables itself; what you set
is passed on where the stack sets nothing. The devnet has settings of its own:
[devnet.md](devnet.md).
"""

NOTHING: Final = "-"
"""Stands where there is no default."""

KINDS: Final = {
    SecretStr: "secret",
    bool: "`true` or `false`",
    int: "integer",
    float: "number",
    Path: "path",
    str: "text",
}
"""What may be written, by the kind of a field; of any other kind is an instant."""


def render() -> str:
    """Write the whole page."""
    sections = [HEAD, "## Shared by all services\n", _table(SharedSettings)]
    for cls in sorted(service_settings(), key=lambda cls: cls.service):
        sections += [f"## {cls.service}\n", _table(cls)]
    sections += ["## bootstrap\n", "Read by `heliograph bootstrap`.\n", _table(BootstrapSettings)]
    return "\n".join(sections)


def service_settings() -> Iterator[type[ServiceSettings]]:
    """The settings class of every service that has one."""
    for folder in pkgutil.iter_modules(services.__path__):
        name = f"services.{folder.name}.settings"
        if find_spec(name) is None:
            continue
        for value in vars(importlib.import_module(name)).values():
            is_class = isinstance(value, type) and issubclass(value, ServiceSettings)
            if is_class and value.__module__ == name:
                yield value


def _table(cls: type[SharedSettings]) -> str:
    """The fields of a class; of a service, without those that all share."""
    is_shared = cls is SharedSettings
    rows = ["| variable | value | default | meaning |", "|---|---|---|---|"]
    for name, info in cls.model_fields.items():
        if not is_shared and name in SharedSettings.model_fields:
            continue
        variable = f"{cls.prefixes(name)[0]}{name.upper()}"
        assert variable in cls.variables(), f"{variable} is read under another name"
        assert info.description, f"{variable} has no description"
        meaning = info.description.replace("|", "\\|")
        rows.append(f"| `{variable}` | {_kind(info)} | {_default(info)} | {meaning} |")
    return "\n".join(rows) + "\n"


def _default(info: FieldInfo) -> str:
    value = info.default
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value == ():
        return NOTHING
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _kind(info: FieldInfo) -> str:
    """What may be written, in a few words."""
    annotation = _bare(info.annotation)
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{each}`" for each in get_args(annotation))
    if get_origin(annotation) is tuple:
        return "list"
    return f"{KINDS.get(annotation, 'instant')}{_bounds(info.metadata)}"


def _bare(annotation: Any) -> Any:
    """`X | None` as `X`, and `Annotated[X, ...]` as `X`."""
    while True:
        if get_origin(annotation) in {Union, types.UnionType}:
            (annotation,) = (each for each in get_args(annotation) if each is not types.NoneType)
        elif hasattr(annotation, "__metadata__"):
            annotation = get_args(annotation)[0]
        else:
            return annotation


def _bounds(metadata: list[Any]) -> str:
    """The limits of a number: `, 1 to 256`, `, above 0`."""
    least = next((f"{rule.ge}" for rule in metadata if isinstance(rule, Ge)), None)
    above = next((f"above {rule.gt}" for rule in metadata if isinstance(rule, Gt)), None)
    most = next((f" to {rule.le}" for rule in metadata if isinstance(rule, Le)), "")
    low = above or least
    return f", {low}{most}" if low else ""


def main(arguments: list[str], page: Path = PAGE) -> int:
    """Write or check; the exit code is 1 when the page is not what it should be."""
    parser = argparse.ArgumentParser(prog="tools.settings_table", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    text = render()
    if parser.parse_args(arguments).check:
        if not page.exists() or page.read_text("utf-8") != text:
            print(f"{page.name}: out of date; run `python -m tools.settings_table`")
            return 1
        return 0
    page.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
