"""Real rules beside their second model: every command goes to both, and both must agree.

The rules are driven by the real command desk, with real signatures, and every fact goes through its
stored bytes. Only the broker is missing: a turn decides at once and writes into a history.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, cast

from libs.events.batch import Batch, BatchItem
from libs.events.command import Body, Command, write_command
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.positions import Position, write_cause, write_seen
from libs.events.spelling import spell
from libs.events.subjects import LEDGER
from libs.events.trading import book_key
from libs.rules.authority import Authority
from libs.rules.dumps import Dumpable
from libs.rules.timekeeper import Timekeeper
from libs.runtime.failures import problem_document
from libs.runtime.folding import Rules
from libs.runtime.hot_commands import Request
from libs.runtime.orders import OrderDesk
from libs.runtime.writer import APPEND_FACTS_MAX, TURN_FACTS, Writer
from services.ledger import members
from services.ledger.domain import Book
from tests.dumping import like, rows
from tests.histories import DEPLOYMENT, START, History, key_of
from tests.ledger import model
from tests.ledger.model_people import Asked, Decider, Register, Verdict

READINGS, METERS, PRICES, MEMBERS = "READINGS_0", "METERS_0", "PRICES", "MEMBERS"
FOUNDER = "founder"
WINDOW = timedelta(hours=24)


class Ruling(Rules, Dumpable, Protocol):
    """Rules of a ledger's stream."""

    authority: Authority


class Turns:
    """What a desk needs of a writer, without a broker: turns at once, facts into a history."""

    def __init__(self, rules: Ruling, stream: str, inputs: Sequence[str], history: History) -> None:
        self.recovered = asyncio.Event()
        self.recovered.set()
        self.read = {name: Position.start(name) for name in (stream, *inputs)}
        self._rules, self._stream, self._inputs, self._history = rules, stream, inputs, history
        self._waiting: list[tuple[Callable[[Writer], Any], Callable[[object], None]]] = []
        self._staged = 0

    @property
    def room(self) -> int:
        return APPEND_FACTS_MAX - self._staged

    @property
    def takes_more(self) -> bool:
        return self._staged < TURN_FACTS

    def hurry(self) -> None:
        pass

    def post(self, decide: Callable[[Writer], Any], answer: Callable[[object], None]) -> None:
        self._waiting.append((decide, answer))

    def give(self, recorded: Recorded[Fact]) -> None:
        self._rules.evolve(recorded)
        self.read[recorded.stream] = recorded.position

    def stage(self, drafts: Sequence[Draft], cause: str | None = None) -> None:
        seen = write_seen(self.read[name] for name in self._inputs)
        for number, draft in enumerate(drafts):
            recorded = self._history.record(
                self._stream,
                draft.key,
                draft.fact,
                time=draft.time,
                fact_id=draft.id,
                cause=draft.cause or cause or "- nothing",
                seen=seen,
            )
            self.give(recorded)
            self._staged += 1
            if number == 0:
                cause = write_cause(recorded.position, recorded.envelope.id)

    def turn(self) -> None:
        """Decide what waits, then what is due, until nothing is."""
        while True:
            self._staged, waiting, self._waiting = 0, self._waiting, []
            outcomes = [(answer, decide(cast("Writer", self))) for decide, answer in waiting]
            while self.room > 100 and (drafts := self._rules.due()):
                self.stage(drafts)
            for answer, outcome in outcomes:
                answer(outcome)
            if not self._staged and not self._waiting:
                return


def _at_once(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that has nothing to wait for."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")


class Played:
    """One stream of the ledger: its rules, its desk, and the second model beside them."""

    def __init__(self, history: History, mirror: Decider, others: Sequence[str] = ()) -> None:
        self.history, self.mirror, self.others = history, mirror, tuple(others)
        self.name = mirror.book
        self.is_register = isinstance(mirror, Register)
        self.stream = MEMBERS if self.is_register else LEDGER.stream(self.name)
        follows = () if self.is_register else (MEMBERS, METERS, READINGS)
        self.inputs = (PRICES, *follows, *map(LEDGER.stream, self.others))
        self.answers: dict[tuple[str, str], Any] = {}
        """What each accepted command was answered with, by member and id."""
        self._take(self._fresh())

    def _fresh(self) -> Ruling:
        address = key_of(FOUNDER).address if self.is_register else ""
        authority = Authority(
            deployment=DEPLOYMENT, service="ledger", book=self.name, first_approver=address
        )
        if self.is_register:
            return members.Register(authority=authority, stream=self.stream)
        keeper = Timekeeper(self.stream, (READINGS,), follows=(MEMBERS, PRICES, METERS))
        return Book(authority=authority, timekeeper=keeper, stream=self.stream, others=self.others)

    def _take(self, rules: Ruling) -> None:
        self.rules = rules
        self.turns = Turns(rules, self.stream, self.inputs, self.history)
        self.desk = OrderDesk(
            writer=cast("Writer", self.turns),
            authority=rules.authority,
            decide=rules.decide,  # type: ignore[attr-defined]  # both kinds have it
        )

    def ask(self, texts: Iterable[str]) -> list[Any]:
        """Let commands arrive together; one turn answers them."""
        requests = [Request(text.encode()) for text in texts]
        found: dict[int, Any] = {}

        def deliver(answers: Sequence[tuple[Request, bytes | Exception]]) -> None:
            for request, answer in answers:
                found[id(request)] = (
                    json.loads(answer) if isinstance(answer, bytes) else problem_document(answer)
                )

        _at_once(self.desk.take(requests, deliver))
        self.turns.turn()
        return [found[id(request)] for request in requests]

    def begin_again(self, *, from_snapshot: bool) -> None:
        """The process ends; the next one folds its streams, or goes on from a snapshot."""
        before, read = self.rules, self.turns.read
        self._take(self._fresh())
        if from_snapshot:
            self.rules.load(rows(before))
            self.turns.read.update(read)
            return
        for stream in (self.stream, *self.inputs):
            for recorded in self.history.facts:
                is_read = recorded.stream == stream and recorded.sequence <= read[stream].sequence
                if is_read and self.sees(recorded):
                    self.turns.give(recorded)

    def check_restart(self, *, from_snapshot: bool) -> None:
        """When nothing is due, whoever begins again has the same state, and nothing to do."""
        before, end = self.rules, self.turns.read[self.stream]
        self.begin_again(from_snapshot=from_snapshot)
        self.turns.turn()
        assert self.turns.read[self.stream] == end, "what was decided is decided again"
        old, new = like(before), like(self.rules)
        assert old == new, {name: (old[name], new[name]) for name in old if old[name] != new[name]}

    def sees(self, recorded: Recorded[Fact]) -> bool:
        """Whether the writer's filter lets a fact through: of other books only what is for us."""
        is_other = recorded.stream in map(LEDGER.stream, self.others)
        return not is_other or recorded.envelope.key == book_key(self.name)


class Town:
    """A register, books and a clock; everything that happens happens to both sides."""

    def __init__(self, *books: str) -> None:
        self.history = History()
        self.now = START
        self.register = Played(self.history, Register(key_of(FOUNDER).address))
        self.books = {
            name: Played(
                self.history,
                model.Book(name, others := [each for each in books if each != name]),
                others,
            )
            for name in books
        }
        self.all = {self.register.name: self.register, **self.books}
        self.learnt = dict.fromkeys(books, 0)
        self.opened = dict.fromkeys([(to, of) for to in books for of in books if to != of], 0)
        self.reached: tuple[datetime, int] | None = None
        self.keys: dict[str, str] = {}
        """The seed of everybody's newest key, where it is not his name."""
        self.sent: list[tuple[Played, str, Asked, Mapping[str, Body]]] = []
        """What was sent, with the bodies of a batch."""
        self.advance(timedelta(0))

    def mirror(self, book: str) -> model.Book:
        found = self.all[book].mirror
        assert isinstance(found, model.Book)
        return found

    def sign(self, book: str, member: str, command_id: str, body: Body, **claims: Any) -> Asked:
        """What a member's command says; `signer` is the seed of another key, `late` moves it."""
        nbf = self.now + claims.get("late", timedelta(0))
        seed = claims.get("signer") or self.keys.get(member, member)
        address = key_of(seed).address
        return Asked(member, command_id, address, body.command_name, body, nbf, nbf + WINDOW, book)

    def text(self, asked: Asked, **claims: Any) -> str:
        """The same as a signed text."""
        command = Command(
            deployment=DEPLOYMENT,
            service="ledger",
            book=asked.book,
            id=asked.id,
            member=asked.member,
            nbf=int(asked.nbf.timestamp()),
            exp=int(asked.exp.timestamp()),
            command=asked.name,
            body=asked.body,
        )
        seed = claims.get("signer") or self.keys.get(asked.member, asked.member)
        return key_of(seed).sign("hg-command+jws", write_command(command))

    def order(
        self, to: str, member: str, command_id: str, body: Body, **claims: Any
    ) -> tuple[Played, str, Asked, Mapping[str, Body]]:
        """Sign a command for a book, or with `book=` for another than the one it reaches."""
        asked = self.sign(claims.pop("book", to), member, command_id, body, **claims)
        return self.all[to], self.text(asked, **claims), asked, {}

    def batch(
        self, to: str, member: str, items: Sequence[tuple[str, Body]], **claims: Any
    ) -> tuple[Played, str, Asked, Mapping[str, Body]]:
        """Sign several commands at once."""
        made = tuple(
            BatchItem(id=name, command=body.command_name, body=json.loads(spell(body)))
            for name, body in items
        )
        body = Batch(commands=made)
        asked = self.sign(to, member, f"batch-{len(self.sent)}", body, **claims)
        bodies = {str(number): each for number, (_, each) in enumerate(items)}
        return self.all[to], self.text(asked, **claims), asked, bodies

    def send(self, *orders: tuple[Played, str, Asked, Mapping[str, Body]]) -> list[bool]:
        """Send commands that arrive together to one book, and compare all answers."""
        (played,) = {id(each[0]): each[0] for each in orders}.values()
        self.sent += orders
        verdicts = [_verdict(played.mirror, asked, bodies) for _, _, asked, bodies in orders]
        if isinstance(played.mirror, model.Book):
            played.mirror.settle()
        answers = played.ask(text for _, text, _, _ in orders)
        yes = []
        for (_, _, asked, _), verdict, answer in zip(orders, verdicts, answers, strict=True):
            if isinstance(verdict, list):
                assert answer.get("outcome") == "batch", (verdict, answer)
                pairs = zip(asked.body.commands, verdict, answer["answers"], strict=True)
                yes += [
                    _agree(played, asked.member, item.id, each, said) for item, each, said in pairs
                ]
            else:
                yes.append(_agree(played, asked.member, asked.id, verdict, answer))
        if played.is_register:
            self._check_register()
        return yes

    def _check_register(self) -> None:
        mirror = self.register.mirror
        assert isinstance(mirror, Register)
        assert self.history.ends[MEMBERS] == len(mirror.changes)

    def learn(self, book: str, count: int | None = None) -> None:
        """Let a book read on in the register."""
        mirror, played = self.register.mirror, self.books[book]
        assert isinstance(mirror, Register)
        facts = [each for each in self.history.facts if each.stream == MEMBERS]
        news = list(zip(facts, mirror.changes, strict=True))[self.learnt[book] :][:count]
        for recorded, change in news:
            played.turns.give(recorded)
            played.mirror.learn(change)
        self.learnt[book] += len(news)
        self._tell_common(book)

    def open_letters(self, to: str, of: str, count: int | None = None) -> None:
        """Let a book read on in another book's stream."""
        played, mirror = self.books[to], self.mirror(to)
        stream = LEDGER.stream(of)
        facts = [each for each in self.history.facts if each.stream == stream]
        facts = [each for each in facts if played.sees(each)]
        pairs = list(zip(facts, self.mirror(of).written[to], strict=True))
        news = pairs[self.opened[to, of] :][:count]
        for recorded, letter in news:
            played.turns.give(recorded)
            if letter.kind != "done":
                mirror.coming[of].append(letter)
        self.opened[to, of] += len(news)

    def advance(self, by: timedelta, *, reach: bool = True) -> None:
        """The clock goes on, and READINGS may have reached it; nothing is decided yet."""
        self.now += by
        made = self.history.advance(self.now)
        if reach:
            made.append(self.history.reach(READINGS, self.now))
            self.reached = self.now, self.history.ends[MEMBERS]
        for played in self.all.values():
            played.mirror.tick(self.now)
            for recorded in made:
                if recorded.stream in played.inputs:
                    played.turns.give(recorded)
        for book in self.books:
            self._tell_common(book)

    def _tell_common(self, book: str) -> None:
        """A book relies on the time of READINGS once it knows the members that READINGS knew."""
        if self.reached is not None:
            time, count = self.reached
            self.mirror(book).common = time if self.learnt[book] >= count else None

    def measure(self, recorded: Recorded[Fact]) -> None:
        """All books read a fact of READINGS or METERS."""
        for played in self.books.values():
            played.turns.give(recorded)

    def settle(self, book: str) -> None:
        """A turn without commands."""
        self.mirror(book).settle()
        self.books[book].turns.turn()


def _verdict(mirror: Decider, asked: Asked, bodies: Mapping[str, Body]) -> Verdict | list[Verdict]:
    if asked.name != "Batch":
        return mirror.answer(asked)
    items = [
        (item.id, item.command, bodies[str(number)])
        for number, item in enumerate(asked.body.commands)
    ]
    return mirror.answer_batch(asked, items)


def _agree(played: Played, member: str, command_id: str, verdict: Verdict, answer: Any) -> bool:
    """Compare an answer with the model's; tell whether it says yes."""
    place = member, command_id
    if verdict.faults:
        assert answer.get("code") in verdict.faults, (place, verdict, answer)
        return False
    assert answer.get("outcome") == "accepted", (place, verdict, answer)
    positions = answer["first"], answer["position"]
    if verdict.is_repeat:
        assert positions == played.answers[place], "a repeat is answered as before"
    played.answers[place] = positions
    return True
