"""Writes `docs/cli.md`: every command of `heliograph` with its options, from its function.

python -m tools.cli_table            write the page
python -m tools.cli_table --check    write nothing; fail on any difference
"""

import argparse
import importlib
import inspect
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, OptionInfo

from heliograph.cli import COMMANDS

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"

HEAD = """# Commands

Made by `python -m tools.cli_table` from the commands themselves; change their help there.

After `make setup` the command is `.venv/bin/heliograph`. A failure that you can mend is told in one
sentence, with exit code 1; wrong options end with 2, ctrl-C with 130. A traceback is a mistake of
ours.
"""

NOTHING = "-"
"""Stands where there is no default."""

VALUES = {int: "N", float: "N", str: "TEXT", Path: "PATH"}
"""What stands behind an option, by its kind."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One option or argument of a command."""

    name: str
    """As it stands in the function."""
    kind: Any
    """Its type, without `| None`."""
    info: OptionInfo | ArgumentInfo
    """What was said about it."""
    default: object
    """What it is unless told; `inspect.Parameter.empty` when it must be told."""

    @property
    def is_argument(self) -> bool:
        """Whether it has its place in the line, in place of a name."""
        return isinstance(self.info, ArgumentInfo)


def render() -> str:
    """Write the whole page."""
    commands = [(name, _function(module, attribute)) for name, module, attribute in COMMANDS]
    lines = [HEAD, "| command | what it does |", "|---|---|"]
    lines += [
        f"| [`heliograph {name}`](#heliograph-{name}) | {paragraphs(function)[0]} |"
        for name, function in commands
    ]
    for name, function in commands:
        lines += ["", *_section(name, function)]
    return "\n".join(lines) + "\n"


def paragraphs(function: Callable[..., object]) -> list[str]:
    """The help of a command, one line per paragraph."""
    found = [" ".join(part.split()) for part in (inspect.getdoc(function) or "").split("\n\n")]
    assert all(found), f"{function.__name__} has no help"
    return found


def parameters(function: Callable[..., object]) -> list[Parameter]:
    """The options and arguments of a command."""
    hints = get_type_hints(function, include_extras=True)
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        assert get_origin(hints[name]) is Annotated, f"{function.__name__}: {name} is not told"
        kind, info = get_args(hints[name])[:2]
        found.append(Parameter(name, _without_none(kind), info, parameter.default))
    return found


def _function(module: str, attribute: str) -> Callable[..., object]:
    found: Callable[..., object] = getattr(importlib.import_module(module), attribute)
    return found


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in {Union, types.UnionType}:
        (kind,) = [each for each in get_args(kind) if each is not types.NoneType]
    return kind


def _section(name: str, function: Callable[..., object]) -> Iterator[str]:
    every = parameters(function)
    places = [_place(each) for each in every if each.is_argument]
    yield f"## heliograph {name}"
    yield ""
    yield f"    {' '.join(['heliograph', name, *places, '[OPTIONS]'])}"
    for paragraph in paragraphs(function):
        yield ""
        yield paragraph
    yield ""
    yield "| option | default | meaning |"
    yield "|---|---|---|"
    for each in every:
        meaning = each.info.help or ""
        assert meaning, f"{name}: {each.name} has no help"
        if each.info.envvar:
            meaning += f" Also `{each.info.envvar}`."
        yield f"| {_name(each)} | {_default(each)} | {meaning.replace('|', chr(92) + '|')} |"


def _place(parameter: Parameter) -> str:
    """An argument in the line; in brackets where it may be left out."""
    name, is_needed = parameter.name.upper(), parameter.default is inspect.Parameter.empty
    return name if is_needed else f"[{name}]"


def _name(parameter: Parameter) -> str:
    if parameter.is_argument:
        return f"`{parameter.name.upper()}`"
    # In an annotation, typer keeps the first name of an option as its default.
    first = (parameter.info.default,) if isinstance(parameter.info.default, str) else ()
    told = (*first, *(getattr(parameter.info, "param_decls", None) or ()))
    names = told or (f"--{parameter.name.replace('_', '-')}",)
    written = ", ".join(f"`{name}`" for name in names)
    if parameter.kind is bool:
        return written
    value = _value(parameter).replace("|", "\\|")  # or it would end the cell
    return f"{written} `{value}`"


def _value(parameter: Parameter) -> str:
    if parameter.info.metavar:
        return str(parameter.info.metavar)
    kind = parameter.kind
    if get_origin(kind) in {list, tuple}:
        kind = get_args(kind)[0]
    if get_origin(kind) is Literal:
        return "|".join(str(each) for each in get_args(kind))
    return VALUES[kind]


def _default(parameter: Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return "required"
    if parameter.default in {None, "", False}:
        return NOTHING
    return f"`{parameter.default}`"


def main(arguments: list[str], page: Path = PAGE) -> int:
    """Write or check; the exit code is 1 when the page is not what it should be."""
    parser = argparse.ArgumentParser(prog="tools.cli_table", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    text = render()
    if parser.parse_args(arguments).check:
        if not page.exists() or page.read_text("utf-8") != text:
            print(f"{page.name}: out of date; run `python -m tools.cli_table`")
            return 1
        return 0
    page.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
