"""A small community, told by real facts: encoded, appended and numbered as writers do it."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from libs.events import (
    Draft,
    Fact,
    MeterHead,
    Position,
    ReadingRecorded,
    RegisterDifferences,
    RegisterValue,
    Terms,
    encode,
)
from libs.events.jws import SigningKey
from libs.events.metering import RegisterName
from libs.events.positions import fact_hash
from libs.events.subjects import family_of
from libs.eventstore import EventStore, Frame, StreamSpec

DEPLOYMENT, BOOK = "demo", "pilot"
STREAMS = (
    "READINGS_0",
    "METERS_0",
    "MEMBERS",
    "PRICES",
    "LEDGER_pilot",
    "BILLING_pilot",
    "ANCHORS",
)
KEYS = {
    name: SigningKey(name.encode().ljust(32, b"."))
    for name in ("approver", "ann", "bob", "bob-renewed", "sol", "m1")
}
START = datetime(2016, 7, 1, 6, tzinfo=UTC)  # midnight in Denver
TERMS = Terms(return_ppm_year=50_000, minimum_payment_stroops=0)
SIGNED = "e30.e30.c2ln"
DEVNET = "Heliograph Devnet ; not Stellar"
HOSTILE = """<script>alert('x')</script>"><img src=x onerror=alert(1)>&amp;\u202e"""


def specs() -> list[StreamSpec]:
    found = []
    for stream in STREAMS:
        family, part = family_of(stream)
        found.append(StreamSpec(name=stream, subjects=family.subjects(part)))
    return [
        *found,
        StreamSpec(name="REFUSALS", subjects=("refusals.*.*",), max_age_s=30 * 86_400),
    ]


class World:
    """Appends facts to a store, and remembers positions."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self.now = START
        self.numbers: Counter[tuple[str, str]] = Counter()
        self.ends: dict[str, Position] = {name: Position.start(name) for name in STREAMS}

    def frame(self, stream: str, key: str, fact: Fact) -> Frame:
        self.numbers[stream, key] += 1
        n = self.numbers[stream, key]
        subject, data = encode(
            Draft(key, fact, f"{key}.{fact.fact_name}.{n}", self.now),
            deployment=DEPLOYMENT,
            stream=stream,
            n=n,
            cause="- test",
            seen=" ".join(str(end) for name, end in sorted(self.ends.items()) if name != stream),
        )
        return Frame(subject, data)

    async def append(self, stream: str, *facts: tuple[str, Fact]) -> Position:
        frames = [self.frame(stream, key, fact) for key, fact in facts]
        return await self.append_frames(stream, frames)

    async def append_frames(self, stream: str, frames: Sequence[Frame]) -> Position:
        sequence = await self.store.append(stream, frames, expected=self.ends[stream].sequence)
        self.ends[stream] = Position(stream, sequence, fact_hash(frames[-1].data))
        return self.ends[stream]

    async def readings(
        self, count: int, *, first: int = 1, meter: str = "m1", each: int = 4
    ) -> None:
        """Reports of `each` intervals of 15 minutes, 100 Wh each."""
        frames = [
            self.frame("READINGS_0", meter, reading(meter, first + number, each))
            for number in range(count)
        ]
        for begin in range(0, len(frames), 1_000):
            await self.append_frames("READINGS_0", frames[begin : begin + 1_000])


def reading(
    meter: str, seq: int, each: int = 4, *, name: RegisterName = "generated"
) -> ReadingRecorded:
    at = START + timedelta(seconds=900 * each * (seq - 1))
    after = 100 * each * seq
    return ReadingRecorded(
        meter=meter,
        seq=seq,
        epoch=1,
        first_interval_at=at,
        interval_s=900,
        registers=(RegisterDifferences(name=name, differences_wh=(100,) * each, after_wh=after),),
        head=MeterHead(
            epoch=1,
            seq=seq,
            until_at=at + timedelta(seconds=900 * each),
            registers=(RegisterValue(name=name, value_wh=after),),
            gaps=(),
        ),
        report=SIGNED,
    )
