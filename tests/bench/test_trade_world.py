"""The seeded history of the trade benchmarks is one that a ledger would have written."""

from collections import Counter

from bench import trade_world
from bench.parties import parties
from bench.trade_world import Deal
from bench.world import DEPLOYMENT
from libs.events.envelope import Recorded, decode
from libs.events.fact import Fact
from libs.eventstore import Frame
from libs.rules.postings import Books, postings

MEMBERS = 7


def read(stream: str, frames: list[Frame]) -> list[Recorded[Fact]]:
    """Read stored facts, which refuses any other spelling than that of a writer."""
    return [
        decode(
            deployment=DEPLOYMENT,
            stream=stream,
            sequence=number,
            subject=frame.subject,
            data=frame.data,
        )
        for number, frame in enumerate(frames, start=1)
    ]


def book() -> list[Recorded[Fact]]:
    executed = trade_world.deals(0, 20, MEMBERS)
    still_open = trade_world.deals(20, 10, MEMBERS)
    return read(trade_world.STREAM, list(trade_world._book(MEMBERS, executed, still_open)))


def test_facts_made_from_patterns_are_spelled_as_a_writer_spells_them() -> None:
    members = read("MEMBERS", list(trade_world._registrations(MEMBERS)))
    assert len({each.envelope.key for each in members}) == MEMBERS
    assert len(book()) == 2 * MEMBERS + 2 * 20 + 10


def test_facts_are_numbered_without_gaps_within_their_key() -> None:
    last: Counter[str] = Counter()
    for each in book():
        last[each.envelope.key] += 1
        assert each.envelope.n == last[each.envelope.key]


def test_ids_are_unique() -> None:
    facts = book()
    assert len({each.envelope.id for each in facts}) == len(facts)


def test_the_books_of_the_history_balance() -> None:
    books = Books()
    for each in book():
        books.post(postings(each.fact))


def test_a_facts_bare_frame_is_readable() -> None:
    deals = trade_world.deals(0, 3, MEMBERS)
    assert len(read(trade_world.STREAM, trade_world.executed_frames(deals))) == len(deals)


def test_nobody_trades_with_himself() -> None:
    for members in (2, 7, 1_000):
        for number in range(3 * members):
            seller, buyer = parties(number, members)
            assert seller != buyer
            assert 0 <= seller < members
            assert 0 <= buyer < members


def test_a_batch_has_one_buyer_and_many_sellers() -> None:
    deals: list[Deal] = trade_world.deals_of_one_buyer(5, 500, MEMBERS)
    assert len({deal.buyer for deal in deals}) == 1
    assert len({deal.seller for deal in deals}) == MEMBERS - 1
    assert all(deal.seller != deal.buyer for deal in deals)
    assert len({deal.id for deal in deals}) == len(deals)
