"""What both halves of the contract of `EventStore` are written with."""

from collections.abc import AsyncGenerator, Sequence

from libs.eventstore import EventStore, Frame, Stored, StreamSpec

S = "LEDGER_1"
SUBJECT = "ledger.1.abc.Minted"


def spec(**more: object) -> StreamSpec:
    """A stream whose messages the tests may also delete."""
    settings: dict[str, object] = {"deny_delete": False, "deny_purge": False} | more
    return StreamSpec(name=S, subjects=("ledger.1.>",), **settings)  # type: ignore[arg-type]


def frames(count: int, first: int = 1, size: int = 0, subject: str = SUBJECT) -> list[Frame]:
    return [
        Frame(subject, f"{number}:".encode().ljust(size, b"."))
        for number in range(first, first + count)
    ]


async def everything(store: EventStore, until: int | None = None) -> list[Stored]:
    last = await store.end(S) if until is None else until
    return await collect(store.read(S, until=last))


async def collect(batches: AsyncGenerator[list[Stored], None]) -> list[Stored]:
    return [item async for batch in batches for item in batch]


def assert_stored(found: Sequence[Stored], wanted: Sequence[Frame]) -> None:
    """Exactly these, in this order, at positions without gaps."""
    assert [item.sequence for item in found] == list(range(1, len(wanted) + 1))
    assert [item.data for item in found] == [frame.data for frame in wanted]
    assert [item.subject for item in found] == [frame.subject for frame in wanted]
