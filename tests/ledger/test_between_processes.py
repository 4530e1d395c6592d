"""Two books in two real ledger processes: each is killed between the steps of a transfer.

The broker has the installation's own accounts and permissions, so this also shows that a ledger may
read, of another book's stream, what is meant for its own.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.trade_commands import ReserveTransfer
from libs.events.trading import MoneyLeg, TransferPosted, TransferReserved
from libs.rules.postings import Books, postings
from tests.embedded.town import BrokerProcess
from tests.histories import START
from tests.runtime.ledgers import PATIENCE_S, LedgerProcess, People

PILOT, SECOND = "LEDGER_pilot", "LEDGER_second"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    folder = tmp_path / "broker"
    folder.mkdir()
    process = BrokerProcess(folder).start()
    try:
        yield process
    finally:
        process.stop(signal.SIGKILL)


Start = Callable[..., LedgerProcess]


@pytest.fixture
def start(broker: BrokerProcess, tmp_path: Path) -> Iterator[Start]:
    """Starts the ledger of one book, under a name of its own."""
    started: list[LedgerProcess] = []

    def one(name: str, book: str, **settings: str) -> LedgerProcess:
        values = {"BOOKS": "pilot,second", "SERVES": book, **settings}
        started.append(LedgerProcess(broker, tmp_path, name, **values))
        return started[-1].start()

    yield one
    for process in started:
        process.end()


@pytest.fixture
async def people(broker: BrokerProcess) -> AsyncIterator[People]:
    async with People(broker) as made:
        yield made


async def once(people: People, stream: str, kind: type[Fact]) -> Recorded[Fact]:
    """Wait until a fact of this kind stands in a stream, and give the only one."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = [each for each in await people.facts(stream) if isinstance(each.fact, kind)]
            if found:
                assert len(found) == 1
                return found[0]
            await asyncio.sleep(0.1)


def books_of(facts: Sequence[Recorded[Fact]]) -> Books:
    books = Books()
    for each in facts:
        books.post(postings(each.fact))
    return books


@pytest.mark.timeout(240)
async def test_a_transfer_between_books_survives_a_kill_between_any_two_steps(
    people: People, start: Start
) -> None:
    leg = MoneyLeg(to_member="ann", asset="USD", amount_stroops=60)
    send = ReserveTransfer(
        transfer="t", legs=(leg,), to_book="second", expires_at=START + timedelta(days=1)
    )
    payer = start("pilot-1", "pilot")
    await people.begin()
    await people.deposit(99, "pilot")
    await people.ask("ann", "send", send, "pilot")
    payer.end()

    receiver = start("second-1", "second", REGISTERS="false")
    received = await once(people, SECOND, TransferPosted)
    receiver.end()
    reserved = await once(people, PILOT, TransferReserved)
    assert received.envelope.cause.startswith(f"{reserved.position} ")

    start("pilot-2", "pilot")
    posted = await once(people, PILOT, TransferPosted)
    assert posted.envelope.cause.startswith(f"{received.position} ")

    # Both once more, from their streams: each finds everything done.
    second = start("second-2", "second", REGISTERS="false")
    await second.is_part(SECOND, "holder")
    await people.deposit(4, "second")
    here, there = books_of(await people.facts(PILOT)), books_of(await people.facts(SECOND))
    assert here.accounts("U:USD", "") == {
        "issuer:USD": 100,
        "wallet:ann": 40,
        "transit:second": 60,
    }
    assert there.accounts("U:USD", "") == {
        "issuer:USD": 5,
        "received:pilot": 60,
        "wallet:ann": 65,
    }
