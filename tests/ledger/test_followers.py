"""The parts of a book are told only of the facts that they say they take note of."""

import pytest

from libs.events.envelope import decode
from libs.events.fact import LATEST
from libs.rules.authority import Authority
from libs.rules.dumps import Dumpable
from libs.rules.timekeeper import Timekeeper
from services.ledger.domain import Book, Follower
from tests.dumping import like
from tools.example_parts import DEPLOYMENT, LEDGER, METERS, READINGS, Example
from tools.examples import examples

PARTS = (
    "energy",
    "minting",
    "trading",
    "transfers",
    "between",
    "market",
    "supply",
    "paygo",
    "grid",
)


def part(name: str) -> Follower:
    """One part of an empty book."""
    authority = Authority(deployment=DEPLOYMENT, service="ledger", book="sunrise")
    keeper = Timekeeper(LEDGER, (READINGS,), follows=(METERS,))
    book = Book(authority=authority, timekeeper=keeper, stream=LEDGER, others=("moonlight",))
    found: Follower = getattr(book, name)
    return found


def fold(follower: Follower, example: Example) -> None:
    """Tell it of an example of a fact."""
    subject, data = example.encoded()
    recorded = decode(
        deployment=DEPLOYMENT,
        stream=example.stream,
        sequence=example.sequence,
        subject=subject,
        data=data,
    )
    follower.evolve(recorded, own=example.stream == LEDGER)


@pytest.mark.parametrize("name", PARTS)
def test_a_part_takes_note_of_nothing_else_than_it_says(name: str) -> None:
    follower, fresh = part(name), part(name)
    for example in examples():
        if type(example.fact) not in follower.facts:
            fold(follower, example)

    assert isinstance(follower, Dumpable)
    assert isinstance(fresh, Dumpable)
    assert like(follower) == like(fresh)


def test_every_part_is_told_of_something_that_exists() -> None:
    kinds = set(LATEST.values())

    assert all(kinds >= set(part(name).facts) != set() for name in PARTS)
