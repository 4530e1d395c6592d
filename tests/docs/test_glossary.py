"""The glossary: in alphabetical order, no word twice, and what it points at exists."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "glossary.md"
NEEDED = (
    "agreement",
    "bid",
    "book",
    "cause",
    "checkpoint",
    "entitlement",
    "fact",
    "factory",
    "fence",
    "hold",
    "holding",
    "inclusion proof",
    "interval",
    "invoice",
    "lease",
    "line",
    "mint",
    "n",
    "offer",
    "order",
    "own use",
    "partition",
    "played time",
    "position",
    "principal",
    "reading",
    "receipt",
    "retire",
    "round",
    "seen",
    "settlement lag",
    "shares",
    "shortfall",
    "slot",
    "snapshot",
    "standby",
    "stroop",
    "surplus",
    "title",
    "token",
    "trade",
    "trust file",
    "units",
    "vault",
    "writer",
)


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    assert lines[0] == "| word | meaning | unit | defined in |"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def names_of(path: Path) -> set[str]:
    """Everything that a module defines at its top."""
    found: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.ClassDef(name=name):
                found.add(name)
            case ast.Assign(targets=targets):
                found |= {each.id for each in targets if isinstance(each, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
            case _:
                pass
    return found


def test_words_stand_in_alphabetical_order_and_once() -> None:
    words = [row[0] for row in rows()]
    assert words == sorted(words, key=str.casefold)
    assert len({word.casefold() for word in words}) == len(words)


def test_every_row_is_whole_and_short() -> None:
    for row in rows():
        assert len(row) == 4, row
        assert all(row), row
        assert len(row[1]) < 130, row


def test_what_defines_a_word_exists() -> None:
    for row in rows():
        match = re.fullmatch(r"`([^`]+)` `([^`]+)`", row[3])
        assert match is not None, row
        assert match[2] in names_of(ROOT / match[1]), row


def test_the_words_that_everything_is_built_of_are_there() -> None:
    words = {row[0].partition(" (")[0] for row in rows()}
    assert set(NEEDED) <= words
