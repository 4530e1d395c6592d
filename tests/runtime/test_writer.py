"""The one writing loop, on the store in memory with a few lines of rules.

The rules keep money in wallets, say which time was reached, and pay out a queue of alms when they
are told of one; so there are commands, reactions to an input, and reactions without end. What the
store does is steered by a client that can be held up, and by the faults of the played server.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from typing_extensions import override

from libs.events.books import FundsDeposited
from libs.events.envelope import Draft, Recorded, decode
from libs.events.errors import InvalidFact
from libs.events.fact import Fact
from libs.events.positions import Position, fact_hash, parse_cause, parse_seen, write_cause
from libs.events.quantities import format_instant
from libs.events.subjects import family_of
from libs.events.timekeeping import TimeAdvanced, TimeReached
from libs.eventstore import (
    EventStoreError,
    Fault,
    Frame,
    MemoryServer,
    MemoryStore,
    Rewound,
    Stored,
    StreamSpec,
)
from libs.runtime import writer as writing
from libs.runtime.failures import (
    BrokenLaw,
    FailureClass,
    FencedOff,
    HeliographError,
    Refused,
    Transient,
    classify,
    gravest,
)
from libs.runtime.writer import Writer
from tests.histories import ANY_COMMAND_SIGNED, DEPLOYMENT, START, History

OWN, PRICES, MEMBERS = "LEDGER_valley", "PRICES", "MEMBERS"
STREAMS = (OWN, PRICES, MEMBERS)

Decide = Callable[[Writer], Position]


class Tally:
    """Wallets, times and alms."""

    def __init__(self) -> None:
        self.folded: list[tuple[str, int]] = []
        self.wallets: Counter[str] = Counter()
        self.times: list[tuple[datetime, str]] = []
        self.reached: set[datetime] = set()
        self.alms = 0
        self.alms_at_once = 1
        self.fault: Exception | None = None

    def evolve(self, recorded: Recorded[Fact]) -> None:
        fact = recorded.fact
        self.folded.append((recorded.stream, recorded.sequence))
        if isinstance(fact, FundsDeposited):
            self.wallets[fact.member] += fact.amount_stroops
            if fact.member == "poor":
                self.alms -= 1
        elif isinstance(fact, TimeAdvanced):
            cause = write_cause(recorded.position, recorded.envelope.id)
            self.times.append((fact.to, cause))
        elif isinstance(fact, TimeReached):
            self.reached.add(fact.to)

    def due(self) -> Sequence[Draft]:
        if self.fault is not None:
            raise self.fault
        for time, cause in self.times:
            if time in self.reached:
                continue
            fact = TimeReached(to=time)
            return (Draft("time", fact, f"time.{format_instant(time)}", time, cause),)
        count = max(0, min(self.alms, self.alms_at_once))
        return [gift("poor", 1, f"alms.{self.alms - index}") for index in range(count)]


def gift(member: str, amount: int, name: str) -> Draft:
    fact = FundsDeposited(
        member=member, asset="USD", amount_stroops=amount, command=ANY_COMMAND_SIGNED
    )
    return Draft(member, fact, f"{name}.deposit", START, write_cause(None, name))


class Client(MemoryStore):
    """A client that counts appends and can be held up before it appends or looks at the end."""

    def __init__(self, server: MemoryServer, *, deadline_s: float = 0.2) -> None:
        super().__init__(server, deadline_s=deadline_s)
        self.appends: list[int] = []
        self.ends = 0
        self.gate = asyncio.Event()
        self.gate.set()

    @override
    async def append(self, stream: str, frames: Sequence[Frame], *, expected: int) -> int:
        await self.gate.wait()
        last = await super().append(stream, frames, expected=expected)
        self.appends.append(len(frames))
        return last

    @override
    async def end(self, stream: str) -> int:
        await self.gate.wait()
        self.ends += 1
        return await super().end(stream)


class World:
    """A played server with our stream and two inputs."""

    def __init__(self, **limits: Any) -> None:
        self.server = MemoryServer()
        self.history = History()
        self.rules = Tally()
        self.client = Client(self.server)
        for name in STREAMS:
            family, part = family_of(name)
            more = limits if name == OWN else {}
            self.server.declare(StreamSpec(name=name, subjects=family.subjects(part), **more))

    def writer(self, **changes: Any) -> Writer:
        told: dict[str, Any] = {
            "store": self.client,
            "rules": self.rules,
            "deployment": DEPLOYMENT,
            "stream": OWN,
            "inputs": (PRICES, MEMBERS),
        }
        return Writer(**(told | changes))

    def fresh(self) -> Writer:
        """The writer of a process that was started anew."""
        self.rules, self.client = Tally(), Client(self.server)
        return self.writer()

    async def put(self, recorded: Recorded[Fact]) -> None:
        """Append a fact to an input, as its own writer does."""
        frame = Frame(recorded.envelope.subject, recorded.data)
        end = len(self.server.stream(recorded.stream).kept)
        await MemoryStore(self.server).append(recorded.stream, [frame], expected=end)

    async def advance(self, *hours: int) -> None:
        for hour in hours:
            for recorded in self.history.advance(START + timedelta(hours=hour)):
                await self.put(recorded)

    async def register(self, *members: str) -> None:
        for member in members:
            await self.put(self.history.register(member, "investor"))

    async def intrude(self) -> None:
        """Another process writes into our stream."""
        stored = self.server.stream(OWN).kept
        history = History()
        history.ends[OWN] = len(stored)
        intruder = history.record(OWN, "eve", gift("eve", 1, "eve").fact)
        frame = Frame(intruder.envelope.subject, intruder.data)
        await MemoryStore(self.server).append(OWN, [frame], expected=len(stored))

    def stored(self, stream: str = OWN) -> list[Stored]:
        return [each for each in self.server.stream(stream).kept if each is not None]

    def facts(self, stream: str = OWN) -> list[Recorded[Fact]]:
        return [
            decode(
                deployment=DEPLOYMENT,
                stream=stream,
                sequence=each.sequence,
                subject=each.subject,
                data=each.data,
            )
            for each in self.stored(stream)
        ]

    def position(self, stream: str) -> Position:
        last = self.stored(stream)[-1]
        return Position(stream, last.sequence, fact_hash(last.data))


class Running:
    """A writer at work."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(writer.run(self.stop))
        self.may_fail = False

    async def settled(self) -> None:
        """Let the writer work off all that has come, and look again."""
        for _ in range(200):
            await asyncio.sleep(0)

    async def failed(self) -> BaseException:
        """Wait for the error that ends the writer; one that nobody waits for fails the test."""
        self.may_fail = True
        async with asyncio.timeout(10):
            await asyncio.wait({self.task})
        error = self.task.exception()
        assert error is not None
        return gravest(error)


@asynccontextmanager
async def running(writer: Writer) -> AsyncIterator[Running]:
    """Run a writer, and stop it in the end unless it has failed."""
    process = Running(writer)
    async with asyncio.timeout(20):
        await asyncio.wait(
            {process.task, asyncio.create_task(writer.recovered.wait())},
            return_when=asyncio.FIRST_COMPLETED,
        )
        try:
            yield process
        finally:
            process.stop.set()
            await asyncio.wait({process.task})
        if not process.may_fail:
            process.task.result()


def depositing(member: str, amount: int, name: str) -> Decide:
    return lambda writer: writer.stage([gift(member, amount, name)])


async def heard(asking: "asyncio.Future[Any]") -> HeliographError:
    """What somebody heard who was not served."""
    with pytest.raises(HeliographError) as caught:
        async with asyncio.timeout(10):
            await asking
    return caught.value


def ask(writer: Writer, decide: Callable[[Writer], Any]) -> "asyncio.Task[Any]":
    return asyncio.create_task(writer.submit(decide))


# What is stored


async def test_an_answer_means_that_the_facts_are_stored() -> None:
    world = World()
    async with running(world.writer()) as process:
        position = await process.writer.submit(depositing("ines", 5, "a.1"))

        assert world.position(OWN) == position == process.writer.position
        assert [each.fact for each in world.facts()] == [gift("ines", 5, "a.1").fact]


async def test_facts_of_a_key_are_numbered_without_gaps() -> None:
    world = World()
    async with running(world.writer()) as process:
        for number, member in enumerate(["ines", "ivo", "ines", "ines", "ivo"]):
            await process.writer.submit(depositing(member, 1, f"a.{number}"))

    numbers = [(each.envelope.key, each.envelope.n) for each in world.facts()]
    assert numbers == [("ines", 1), ("ivo", 1), ("ines", 2), ("ines", 3), ("ivo", 2)]


async def test_numbers_go_on_after_a_restart() -> None:
    world = World()
    async with running(world.writer()) as process:
        await process.writer.submit(depositing("ines", 1, "a.1"))
        await process.writer.submit(depositing("ines", 1, "a.2"))
    async with running(world.fresh()) as process:
        assert process.writer.position == world.position(OWN)
        assert world.rules.wallets == {"ines": 2}
        await process.writer.submit(depositing("ines", 1, "a.3"))

    assert [each.envelope.n for each in world.facts()] == [1, 2, 3]


async def test_the_other_facts_of_a_decision_name_the_position_of_the_first() -> None:
    world = World()

    def decide(writer: Writer) -> Position:
        first = gift("ines", 1, "a.1")
        second = Draft("ivo", first.fact, "a.1.second", START)
        own_cause = Draft("ida", first.fact, "a.1.third", START, "- elsewhere")
        return writer.stage([first, second, own_cause])

    async with running(world.writer()) as process:
        last = await process.writer.submit(decide)
        first, second, third = world.facts()

    assert parse_cause(first.envelope.cause) == (None, "a.1")
    assert parse_cause(second.envelope.cause) == (first.position, "a.1.deposit")
    assert third.envelope.cause == "- elsewhere"
    assert last == third.position


async def test_seen_names_all_inputs_as_far_as_they_were_folded() -> None:
    world = World()
    await world.register("ines")
    async with running(world.writer()) as process:
        await process.writer.submit(depositing("ines", 1, "a.1"))
        await world.register("ivo")
        await world.advance(1)
        await process.settled()
        await process.writer.submit(depositing("ines", 1, "a.2"))
        first, reached, second = world.facts()

    start = Position.start(PRICES)
    members = [each.position for each in world.facts(MEMBERS)]
    assert parse_seen(first.envelope.seen) == {MEMBERS: members[0], PRICES: start}
    now = {MEMBERS: members[1], PRICES: world.position(PRICES)}
    assert parse_seen(reached.envelope.seen)[PRICES] == now[PRICES]
    assert parse_seen(second.envelope.seen) == now
    assert OWN not in second.envelope.seen


async def test_a_reaction_to_an_input_names_it_as_its_cause() -> None:
    world = World()
    async with running(world.writer()) as process:
        await world.advance(1)
        await process.settled()

    (reached,) = world.facts()
    (advanced,) = world.facts(PRICES)
    assert reached.fact == TimeReached(to=START + timedelta(hours=1))
    assert parse_cause(reached.envelope.cause) == (advanced.position, advanced.envelope.id)
    assert reached.envelope.subject == "ledger.valley.time.TimeReached"


# Turns


async def test_work_that_came_meanwhile_goes_into_one_append() -> None:
    world = World()
    async with running(world.writer()) as process:
        world.client.gate.clear()
        asking = [ask(process.writer, depositing("ines", 1, f"a.{n}")) for n in range(51)]
        await process.settled()
        world.client.gate.set()
        positions = [await each for each in asking]

    assert world.client.appends == [51]
    assert [position.sequence for position in positions] == list(range(1, 52))
    assert len({each.append_id for each in world.stored()}) == 1


async def test_while_an_append_is_under_way_others_wait_for_the_next() -> None:
    world = World()
    async with running(world.writer()) as process:
        world.client.gate.clear()
        first = ask(process.writer, depositing("ines", 1, "a.1"))
        await process.settled()
        others = [ask(process.writer, depositing("ines", 1, f"b.{n}")) for n in range(3)]
        await process.settled()
        assert not first.done()
        world.client.gate.set()
        await asyncio.gather(first, *others)

    assert world.client.appends == [1, 3]


async def test_a_decision_sees_what_was_staged_before_it() -> None:
    world = World()

    def spend(writer: Writer) -> Position:
        if world.rules.wallets["ines"] < 5:
            raise Refused("too-little-money", "there is not enough")
        return writer.stage([gift("ines", 1, "spent")])

    async with running(world.writer()) as process:
        world.client.gate.clear()
        asking = [
            ask(process.writer, spend),
            ask(process.writer, depositing("ines", 5, "a.1")),
            ask(process.writer, spend),
        ]
        await process.settled()
        world.client.gate.set()

        assert (await heard(asking[0])).code == "too-little-money"
        assert (await asking[2]).sequence == 2
    assert world.client.appends == [2]


async def test_a_turn_takes_no_further_work_once_it_has_enough() -> None:
    world = World()

    def hundred(writer: Writer) -> Position:
        return writer.stage(
            [gift("ines", 1, f"h.{writer.position.sequence}.{n}") for n in range(100)]
        )

    async with running(world.writer()) as process:
        world.client.gate.clear()
        asking = [ask(process.writer, hundred) for _ in range(8)]
        await process.settled()
        world.client.gate.set()
        await asyncio.gather(*asking)

    assert world.client.appends == [writing.TURN_FACTS, 300]


async def test_what_is_due_is_worked_off_until_nothing_is() -> None:
    world = World()
    world.rules.alms = 20
    async with running(world.writer()) as process:
        await process.settled()

    assert world.client.appends == [20]
    assert world.rules.alms == 0
    assert [each.envelope.n for each in world.facts()] == list(range(1, 21))


async def test_an_append_is_bounded_however_much_is_due() -> None:
    world = World()
    world.rules.alms, world.rules.alms_at_once = 2_550, 100
    async with running(world.writer()) as process:
        await process.settled()  # nothing comes from outside that could wake the writer

    assert world.rules.alms == 0
    assert world.client.appends == [1_000, 1_000, 550]
    assert max(world.client.appends) <= writing.APPEND_FACTS_MAX


async def test_commands_are_served_while_something_is_always_due() -> None:
    world = World()
    world.rules.alms = 10**9
    async with running(world.writer()) as process:
        position = await process.writer.submit(depositing("ines", 1, "a.1"))

        assert position.sequence > 900
        assert world.rules.alms < 10**9


async def test_nothing_due_appends_nothing() -> None:
    world = World()
    async with running(world.writer()) as process:
        await world.register("ines", "ivo")
        await process.settled()

        assert world.rules.folded == [(MEMBERS, 1), (MEMBERS, 2)]
    assert world.client.appends == []


# Refusals and the fence


async def test_a_refusal_is_answered_only_after_the_leader_was_asked() -> None:
    world = World()

    def refuse(_: Writer) -> Position:
        raise Refused("no", "the rules say no")

    async with running(world.writer()) as process:
        asked_before = world.client.ends
        world.client.gate.clear()
        asking = ask(process.writer, refuse)
        await process.settled()
        assert not asking.done()
        world.client.gate.set()

        assert (await heard(asking)).code == "no"
        assert world.client.ends == asked_before + 1
    assert world.client.appends == []


async def test_a_known_answer_is_given_only_after_the_leader_was_asked() -> None:
    world = World()
    async with running(world.writer()) as process:
        asked_before = world.client.ends
        assert await process.writer.submit(lambda writer: writer.position) == Position.start(OWN)
        assert world.client.ends == asked_before + 1


async def test_a_refusal_beside_an_accepted_command_is_covered_by_the_append() -> None:
    world = World()

    def refuse(_: Writer) -> Position:
        raise Refused("no", "the rules say no")

    async with running(world.writer()) as process:
        asked_before = world.client.ends
        world.client.gate.clear()
        asking = [ask(process.writer, refuse), ask(process.writer, depositing("ines", 1, "a.1"))]
        await process.settled()
        assert not any(each.done() for each in asking)
        world.client.gate.set()

        assert (await heard(asking[0])).code == "no"
        assert (await asking[1]).sequence == 1
        assert world.client.ends == asked_before


async def test_an_append_behind_another_writer_is_fenced() -> None:
    world = World()
    async with running(world.writer()) as process:
        await process.writer.submit(depositing("ines", 1, "a.1"))
        await world.intrude()
        asking = ask(process.writer, depositing("ines", 1, "a.2"))

        assert (await heard(asking)).code == "writer-stopped"
        error = await process.failed()
    assert isinstance(error, FencedOff)
    assert [each.envelope.key for each in world.facts()] == ["ines", "eve"]


async def test_a_refusal_behind_another_writer_is_never_sent() -> None:
    world = World()

    def refuse(_: Writer) -> Position:
        raise Refused("no", "the rules say no")

    async with running(world.writer()) as process:
        await world.intrude()
        asking = ask(process.writer, refuse)

        assert (await heard(asking)).code == "writer-stopped"
        assert isinstance(await process.failed(), FencedOff)


async def test_of_two_writers_the_one_that_is_behind_leaves() -> None:
    world = World()
    other = Tally()
    async with (
        running(world.writer()) as one,
        running(world.writer(rules=other, store=Client(world.server))) as two,
    ):
        await one.writer.submit(depositing("ines", 1, "a.1"))
        asking = ask(two.writer, depositing("ines", 1, "b.1"))

        assert (await heard(asking)).code == "writer-stopped"
        assert classify(await two.failed()) is FailureClass.FENCED
        assert (await one.writer.submit(depositing("ines", 1, "a.2"))).sequence == 2


# Faults of the store


@pytest.mark.parametrize("fault", [Fault.LOSE_REQUEST, Fault.LOSE_ANSWER, Fault.DELAY_REQUEST])
async def test_whatever_is_lost_on_the_way_is_stored_once(fault: Fault) -> None:
    world = World()
    world.client = Client(world.server, deadline_s=5)
    async with running(world.writer()) as process:
        world.client.faults.next.append(fault)
        position = await process.writer.submit(depositing("ines", 1, "a.1"))
        world.server.deliver_delayed()

        assert position == world.position(OWN)
        assert len(world.stored()) == 1


async def test_a_full_store_answers_nobody_with_yes() -> None:
    world = World(max_msgs=2)
    async with running(world.writer()) as process:
        await process.writer.submit(depositing("ines", 1, "a.1"))
        world.client.gate.clear()
        asking = [ask(process.writer, depositing("ines", 1, f"b.{n}")) for n in range(2)]
        await process.settled()
        world.client.gate.set()

        errors = [await heard(each) for each in asking]
        error = await process.failed()
    assert {each.code for each in errors} == {"writer-stopped"}
    assert {each.failure for each in errors} == {FailureClass.TRANSIENT}
    assert isinstance(error, Transient)
    assert error.code == "store-full"
    assert len(world.stored()) == 1


async def test_a_store_that_is_away_answers_nobody_with_yes() -> None:
    world = World()
    async with running(world.writer()) as process:
        world.client.faults.away = True
        asking = ask(process.writer, depositing("ines", 1, "a.1"))

        assert (await heard(asking)).code == "writer-stopped"
        error = await process.failed()
    assert isinstance(error, Transient)
    assert error.code == "store-unavailable"
    assert world.stored() == []


async def test_after_a_failure_the_successor_starts_from_the_stream() -> None:
    world = World()
    async with running(world.writer()) as process:
        await process.writer.submit(depositing("ines", 3, "a.1"))
        world.client.faults.away = True
        await heard(ask(process.writer, depositing("ines", 5, "a.2")))
        await process.failed()
    assert world.rules.wallets == {"ines": 8}  # staged and folded, but never told to anybody

    async with running(world.fresh()) as process:
        assert world.rules.wallets == {"ines": 3}
        await process.writer.submit(depositing("ines", 5, "a.2"))
    assert world.rules.wallets == {"ines": 8}


# Our own bugs


async def test_work_that_meets_a_bug_ends_the_writer_and_appends_nothing() -> None:
    world = World()

    def stumble(writer: Writer) -> Position:
        writer.stage([gift("ines", 1, "half")])
        raise ZeroDivisionError

    async with running(world.writer()) as process:
        world.client.gate.clear()
        asking = [
            ask(process.writer, depositing("ines", 1, "a.1")),
            ask(process.writer, stumble),
            ask(process.writer, depositing("ines", 1, "a.2")),
        ]
        world.client.gate.set()

        codes = [(await heard(each)).code for each in asking]
        assert isinstance(await process.failed(), ZeroDivisionError)
    assert codes == ["writer-stopped", "writer-stopped", "stopping"]
    assert world.stored() == []


async def test_a_refusal_after_half_a_decision_ends_the_writer() -> None:
    world = World()

    def half(writer: Writer) -> Position:
        writer.stage([gift("ines", 1, "half")])
        raise Refused("too-late", "said after something was staged")

    async with running(world.writer()) as process:
        assert (await heard(ask(process.writer, half))).code == "writer-stopped"
        assert isinstance(await process.failed(), Refused)
    assert world.stored() == []


@pytest.mark.parametrize(
    ("drafts", "code"),
    [
        ([], "decision-size"),
        ([gift("ines", 1, f"a.{n}") for n in range(101)], "decision-size"),
        ([Draft("ines", gift("ines", 1, "a").fact, "a", START)], "cause-missing"),
    ],
    ids=["empty", "too many", "no cause"],
)
async def test_a_decision_that_cannot_be_ends_the_writer(drafts: list[Draft], code: str) -> None:
    world = World()
    async with running(world.writer()) as process:
        asking = ask(process.writer, lambda writer: writer.stage(drafts))

        assert (await heard(asking)).code == "writer-stopped"
        error = await process.failed()
    assert isinstance(error, BrokenLaw)
    assert error.code == code
    assert world.stored() == []


async def test_an_append_of_more_than_a_thousand_facts_ends_the_writer() -> None:
    world = World()

    def too_much(writer: Writer) -> Position:
        for turn in range(11):
            writer.stage([gift("ines", 1, f"a.{turn}.{n}") for n in range(100)])
        return writer.position

    async with running(world.writer()) as process:
        assert (await heard(ask(process.writer, too_much))).code == "writer-stopped"
        error = await process.failed()
    assert isinstance(error, BrokenLaw)
    assert error.code == "append-size"


async def test_a_fact_that_cannot_be_written_ends_the_writer() -> None:
    world = World()
    bad = Draft("no.id", gift("ines", 1, "a").fact, "a", START, "- a")
    async with running(world.writer()) as process:
        assert (
            await heard(ask(process.writer, lambda writer: writer.stage([bad])))
        ).code == "writer-stopped"
        assert isinstance(await process.failed(), InvalidFact)
    assert world.stored() == []


async def test_a_bug_in_what_is_due_leaves_nobody_waiting() -> None:
    world = World()
    async with running(world.writer()) as process:
        await process.settled()
        world.rules.fault = KeyError("due")
        asking = ask(process.writer, depositing("ines", 1, "a.1"))

        assert (await heard(asking)).code == "writer-stopped"
        assert isinstance(await process.failed(), KeyError)
    assert world.stored() == []


# Recovery and inputs


async def test_recovery_folds_the_own_stream_and_then_every_input() -> None:
    world = World()
    await world.register("ines", "ivo")
    await world.advance(1)
    async with running(world.writer()) as process:
        await process.settled()
        await process.writer.submit(depositing("ines", 1, "a.1"))
    async with running(world.fresh()) as process:
        assert world.rules.folded == [(OWN, 1), (OWN, 2), (PRICES, 1), (MEMBERS, 1), (MEMBERS, 2)]
        read = {name: place.sequence for name, place in process.writer.read.items()}
        assert read == {OWN: 2, PRICES: 1, MEMBERS: 2}


async def test_an_empty_stream_is_recovered_at_its_start() -> None:
    world = World()
    async with running(world.writer()) as process:
        assert process.writer.read == {name: Position.start(name) for name in STREAMS}
        assert process.writer.recovered.is_set()


async def test_what_an_input_brought_meanwhile_is_folded_after_a_restart() -> None:
    world = World()
    async with running(world.writer()) as process:
        await process.writer.submit(depositing("ines", 1, "a.1"))
    await world.advance(1, 2)
    async with running(world.fresh()) as process:
        await process.settled()

    names = [type(each.fact).fact_name for each in world.facts()]
    assert names == ["FundsDeposited", "TimeReached", "TimeReached"]


async def history_with_a_seen_member(world: World) -> None:
    await world.register("ines", "ivo")
    async with running(world.writer()) as process:
        await process.writer.submit(depositing("ines", 1, "a.1"))


async def test_another_fact_at_a_seen_position_stops_the_process() -> None:
    world = World()
    await history_with_a_seen_member(world)
    world.server.rewind(MEMBERS, 1)
    world.history = History()
    world.history.register("ines", "investor")
    await world.register("eve")

    async with running(world.fresh()) as process:
        error = await process.failed()
    assert isinstance(error, BrokenLaw)
    assert error.code == "other-history"
    assert not process.writer.recovered.is_set()


async def test_an_input_that_ends_before_what_was_seen_stops_the_process() -> None:
    world = World()
    await history_with_a_seen_member(world)
    world.server.rewind(MEMBERS, 1)

    async with running(world.fresh()) as process:
        error = await process.failed()
    assert isinstance(error, BrokenLaw)
    assert error.code == "rewound"


async def test_an_emptied_input_stops_the_process() -> None:
    world = World()
    await history_with_a_seen_member(world)
    world.server.rewind(MEMBERS, 0)

    async with running(world.fresh()) as process:
        error = await process.failed()
    assert isinstance(error, BrokenLaw)
    assert error.code == "rewound"


async def test_an_input_that_is_rewound_under_a_running_writer_stops_it() -> None:
    world = World()
    await history_with_a_seen_member(world)
    async with running(world.fresh()) as process:
        await process.settled()
        world.server.rewind(MEMBERS, 1)
        error = await process.failed()

    assert isinstance(error, Rewound)


async def test_the_same_history_goes_on() -> None:
    world = World()
    await history_with_a_seen_member(world)
    await world.register("ida")
    async with running(world.fresh()) as process:
        await process.writer.submit(depositing("ines", 1, "a.2"))

    assert parse_seen(world.facts()[-1].envelope.seen)[MEMBERS].sequence == 3


async def test_a_gap_in_the_numbers_of_the_own_stream_stops_the_process() -> None:
    world = World()
    history = History()
    history.record(OWN, "ines", gift("ines", 1, "a.1").fact)
    second = history.record(OWN, "ines", gift("ines", 1, "a.2").fact)
    frame = Frame(second.envelope.subject, second.data)
    await MemoryStore(world.server).append(OWN, [frame], expected=0)

    async with running(world.writer()) as process:
        error = await process.failed()
    assert isinstance(error, BrokenLaw)
    assert error.code == "numbering"


@pytest.mark.parametrize("stream", [OWN, MEMBERS])
async def test_bytes_that_are_no_fact_stop_the_process(stream: str) -> None:
    world = World()
    subject = "ledger.valley.x.FundsDeposited" if stream == OWN else "members.x.MemberRegistered"
    await MemoryStore(world.server).append(stream, [Frame(subject, b"{}")], expected=0)

    async with running(world.writer()) as process:
        assert isinstance(await process.failed(), InvalidFact)


async def test_a_filtered_input_brings_only_what_matters() -> None:
    world = World()
    await world.advance(1)
    await world.register("ines", "ivo", "ines")
    filters = {MEMBERS: "members.ines.MemberRegistered"}
    async with running(world.writer(filters=filters)) as process:
        await process.writer.submit(depositing("ines", 1, "a.1"))
        await world.register("ivo", "ines")
        await process.settled()

        assert [place for place in world.rules.folded if place[0] == MEMBERS] == [
            (MEMBERS, 1),
            (MEMBERS, 3),
            (MEMBERS, 5),
        ]


async def test_a_filtered_input_whose_seen_fact_is_gone_stops_the_process() -> None:
    world = World()
    filters = {MEMBERS: "members.ines.MemberRegistered"}
    await world.register("ines")
    async with running(world.writer(filters=filters)) as process:
        await process.writer.submit(depositing("ines", 1, "a.1"))
    world.server.rewind(MEMBERS, 0)
    world.history = History()
    await world.register("ivo", "ines")

    world.rules = Tally()
    async with running(world.writer(filters=filters)) as process:
        error = await process.failed()
    assert isinstance(error, BrokenLaw)
    assert error.code == "other-history"


# Waiting, pressure, and the end


async def test_work_is_refused_once_too_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "WAITING_MAX", 3)
    world = World()
    async with running(world.writer()) as process:
        world.client.gate.clear()
        first = ask(process.writer, depositing("ines", 1, "a.0"))
        await process.settled()
        asking = [ask(process.writer, depositing("ines", 1, f"b.{n}")) for n in range(3)]
        await process.settled()

        error = await heard(ask(process.writer, depositing("ines", 1, "c")))
        assert (error.code, error.failure) == ("busy", FailureClass.TRANSIENT)
        world.client.gate.set()
        await asyncio.gather(first, *asking)
    assert len(world.stored()) == 4


async def test_an_input_is_not_read_far_ahead_of_the_turns() -> None:
    world = World()
    async with running(world.writer()) as process:
        world.client.gate.clear()
        held_up = ask(process.writer, depositing("ines", 1, "a.1"))
        await process.settled()
        for number in range(20):
            await world.register(f"member-{number}")
            await process.settled()

        assert len(process.writer._arrived) <= 2 * 2 + 1
        assert world.rules.folded == [(OWN, 1)]
        world.client.gate.set()
        await held_up
        await process.settled()
        assert world.rules.folded[1:] == [(MEMBERS, number) for number in range(1, 21)]


async def test_work_that_is_given_before_the_recovery_waits_for_it() -> None:
    world = World()
    writer = world.writer()
    asking = ask(writer, depositing("ines", 1, "a.1"))
    await asyncio.sleep(0)
    async with running(writer):
        assert (await asking).sequence == 1


async def test_whoever_waits_when_the_writer_stops_is_told() -> None:
    world = World()
    async with running(world.writer()) as process:
        world.client.gate.clear()
        served = ask(process.writer, depositing("ines", 1, "a.1"))
        await process.settled()
        late = ask(process.writer, depositing("ines", 1, "a.2"))
        await process.settled()
        process.stop.set()
        world.client.gate.set()

        assert (await served).sequence == 1  # what was begun is finished
        error = await heard(late)
    assert (error.code, error.failure) == ("stopping", FailureClass.TRANSIENT)
    assert len(world.stored()) == 1


async def test_whoever_comes_after_the_end_is_told() -> None:
    world = World()
    async with running(world.writer()) as process:
        pass
    assert process.task.done()

    error = await heard(ask(process.writer, depositing("ines", 1, "a.1")))

    assert (error.code, error.failure) == ("stopping", FailureClass.TRANSIENT)


async def test_whoever_waits_when_the_recovery_fails_is_told() -> None:
    world = World()
    await MemoryStore(world.server).append(MEMBERS, [Frame("members.x.y", b"{}")], expected=0)
    writer = world.writer()
    asking = ask(writer, depositing("ines", 1, "a.1"))
    await asyncio.sleep(0)
    async with running(writer) as process:
        assert (await heard(asking)).code == "stopping"
        assert isinstance(await process.failed(), InvalidFact)


async def test_a_caller_who_has_gone_does_not_stop_the_writer() -> None:
    world = World()
    async with running(world.writer()) as process:
        world.client.gate.clear()
        gone = ask(process.writer, depositing("ines", 1, "a.1"))
        await process.settled()
        gone.cancel()
        await process.settled()
        world.client.gate.set()

        assert (await process.writer.submit(depositing("ines", 1, "a.2"))).sequence == 2
    assert gone.cancelled()


async def test_an_error_of_the_store_that_nobody_foresaw_ends_the_writer() -> None:
    world = World()
    async with running(world.writer(filters={})) as process:
        world.server.rewind(OWN, 0)
        await process.writer.submit(depositing("ines", 1, "a.1"))
        world.server.rewind(OWN, 0)  # an older store was put back under the running writer
        asking = ask(process.writer, depositing("ines", 1, "a.2"))

        assert (await heard(asking)).code == "writer-stopped"
        error = await process.failed()
    assert isinstance(error, EventStoreError)
    assert classify(error) is FailureClass.BUG
    assert world.stored() == []
