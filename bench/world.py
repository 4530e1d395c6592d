"""What every benchmark stands on: the embedded broker and database, and facts to work with."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from heliograph.layout import Layout
from heliograph.stack import Stack, StackOptions
from libs.events.command import WINDOW_S_MAX, Command, write_command
from libs.events.commands import RegisterMember
from libs.events.envelope import Draft, encode
from libs.events.fact import Fact
from libs.events.jws import SigningKey
from libs.events.metering import (
    MeterEnrolled,
    MeterHead,
    ReadingRecorded,
    RegisterDifferences,
    RegisterValue,
    Report,
)
from libs.events.timekeeping import TimeAdvanced
from libs.eventstore import Frame, JetStreamStore
from libs.runtime.writing import API_PREFIX

DEPLOYMENT, SITE = "bench", "roof"
START = datetime(2026, 6, 1, tzinfo=UTC)
INTERVALS, INTERVAL_S = 4, 900
KEY = SigningKey(b"b" * 32)
APPEND = 400


def layout(meter_count: int) -> Layout:
    """A site with so many meters."""
    return Layout(sites={SITE: tuple(meter_names(meter_count))})


def meter_names(count: int) -> list[str]:
    """Names of meters."""
    return [f"m{number}" for number in range(count)]


@asynccontextmanager
async def running(folder: Path, meters: int, *services: str) -> AsyncIterator[Stack]:
    """The embedded stack with some of its services."""
    infrastructure = ("broker", "postgres") if "projection" in services else ("broker",)
    options = StackOptions(
        data=folder,
        deployment=DEPLOYMENT,
        layout=layout(meters),
        services=services,
        infrastructure=infrastructure,
        played_time=True,
    )
    async with Stack(options) as stack:
        yield stack


@asynccontextmanager
async def store_of(stack: Stack, user: str) -> AsyncIterator[JetStreamStore]:
    """The event store as one service's user."""
    store = await JetStreamStore.connect(
        stack.urls.nats,
        user,
        stack.credentials.passwords[user],
        f"bench-{user}",
        api_prefix=API_PREFIX,
    )
    try:
        yield store
    finally:
        await store.close()


@dataclass(frozen=True, slots=True)
class Named:
    """A fact with its key and id."""

    key: str
    fact: Fact
    id: str


def frames(stream: str, facts: Sequence[Named], numbers: dict[str, int]) -> list[Frame]:
    """Encode facts as a writer would."""
    made = []
    for each in facts:
        numbers[each.key] = numbers.get(each.key, 0) + 1
        subject, data = encode(
            Draft(each.key, each.fact, each.id, START),
            deployment=DEPLOYMENT,
            stream=stream,
            n=numbers[each.key],
            cause="- bench",
            seen="",
        )
        made.append(Frame(subject, data))
    return made


def _command() -> str:
    nbf = int(START.timestamp())
    body = RegisterMember(member="approver", address=KEY.address, roles=("approver",))
    claims = Command(
        deployment=DEPLOYMENT,
        service="ledger",
        book="register",
        id="bench",
        member="approver",
        nbf=nbf,
        exp=nbf + WINDOW_S_MAX,
        command="RegisterMember",
        body=body,
    )
    return KEY.sign("hg-command+jws", write_command(claims))


COMMAND = _command()


async def enrol(stack: Stack, meters: Sequence[str]) -> None:
    """Write a time and the enrolments, as oracle and ingest would."""
    advanced = TimeAdvanced(to=START + timedelta(days=30), cadence_s=86_400)
    async with store_of(stack, "oracle") as store:
        await store.append(
            "PRICES", frames("PRICES", [Named("time", advanced, "time")], {}), expected=0
        )
    enrolments = [
        Named(
            meter,
            MeterEnrolled(
                meter=meter,
                address=KEY.address,
                role="consumption",
                system="sun",
                holding="home",
                site=SITE,
                nameplate_w=10_000,
                starts=(RegisterValue(name="consumed", value_wh=0),),
                command=COMMAND,
            ),
            f"{meter}.enrolled",
        )
        for meter in meters
    ]
    async with store_of(stack, "ingest") as store:
        made, expected = frames("METERS_0", enrolments, {}), 0
        for at in range(0, len(made), APPEND):
            expected = await store.append("METERS_0", made[at : at + APPEND], expected=expected)


def registers(seq: int) -> tuple[RegisterDifferences, ...]:
    """The registers of a report: 100 Wh per interval."""
    differences = (100,) * INTERVALS
    after_wh = 100 * INTERVALS * seq
    return (RegisterDifferences(name="consumed", differences_wh=differences, after_wh=after_wh),)


def first_at(seq: int) -> datetime:
    """Start of the first interval of a report."""
    return START + timedelta(seconds=(seq - 1) * INTERVALS * INTERVAL_S)


def sign_reports(meters: Sequence[str], first_seq: int, count: int) -> list[tuple[str, bytes]]:
    """Sign `count` reports of every meter, in order of sequence: (meter, JWS)."""
    signed = []
    for seq in range(first_seq, first_seq + count):
        for meter in meters:
            report = Report(
                meter=meter,
                seq=seq,
                epoch=1,
                first_interval_at=first_at(seq),
                interval_s=INTERVAL_S,
                registers=registers(seq),
                deployment=DEPLOYMENT,
            )
            text = KEY.sign("hg-report+jws", report.model_dump_json().encode())
            signed.append((meter, text.encode("ascii")))
    return signed


def readings(signed: Sequence[tuple[str, bytes]], meter_count: int) -> list[Named]:
    """The facts that ingest makes of these reports."""
    made = []
    for index, (meter, text) in enumerate(signed):
        seq = index // meter_count + 1
        until = first_at(seq + 1)
        head = MeterHead(
            epoch=1,
            seq=seq,
            until_at=until,
            registers=(RegisterValue(name="consumed", value_wh=100 * INTERVALS * seq),),
            gaps=(),
        )
        fact = ReadingRecorded(
            meter=meter,
            seq=seq,
            epoch=1,
            first_interval_at=first_at(seq),
            interval_s=INTERVAL_S,
            registers=registers(seq),
            head=head,
            report=text.decode(),
        )
        made.append(Named(meter, fact, f"{meter}.{seq}"))
    return made
