"""The second model, part 1: who may ask, by plain dictionaries.

Written from the domain rules and the eventing contract, section 5, and not from the code under
test, of which it imports nothing. A command is answered with *every* rule that it breaks; which of
them the ledger names is its own affair, but it must name one of them, and accept what breaks none.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

REMEMBERED = timedelta(hours=1)
"""How long after the end of its window an id is known."""

BEFORE, NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

NOT_IN_BATCHES = {"DepositFunds", "ReverseTransfer", "Batch", "RegisterMember", "SuspendMember"}
RESERVED = {"time", "market"}


@dataclass(frozen=True)
class Asked:
    """What a signed command says."""

    member: str
    id: str
    key: str
    name: str
    body: Any
    nbf: datetime
    exp: datetime
    book: str


@dataclass(frozen=True)
class Verdict:
    """What must be answered: yes, the same as before, or one of these refusals."""

    faults: frozenset[str] = frozenset()
    is_repeat: bool = False


@dataclass(frozen=True)
class Change:
    """One fact of the register in plain words."""

    member: str
    key: str | None = None
    roles: frozenset[str] | None = None
    is_suspended: bool | None = None
    opening: tuple[str, int, int] | None = None
    """Book, Wh and stroops that a factory begins with."""


@dataclass
class Person:
    key: str = ""
    roles: frozenset[str] = frozenset()
    is_suspended: bool = False
    keys: set[str] = field(default_factory=set)


class Decider:
    """Whoever answers commands: people, the clock, and the ids that were accepted."""

    def __init__(self, book: str, founder: str = "") -> None:
        self.book = book
        self.founder = founder
        """The key that counts as an approver's until there is one."""
        self.people: dict[str, Person] = {}
        self.now = BEFORE
        self.done: dict[tuple[str, str], Asked] = {}

    def learn(self, change: Change) -> None:
        person = self.people.setdefault(change.member, Person())
        person.key = change.key or person.key
        person.keys.add(person.key)
        if change.roles is not None:
            person.roles = change.roles
        if change.is_suspended is not None:
            person.is_suspended = change.is_suspended

    def tick(self, now: datetime) -> None:
        self.now = now
        self.done = {key: asked for key, asked in self.done.items() if asked.exp + REMEMBERED > now}

    def owner(self, key: str) -> str | None:
        found = [name for name, person in self.people.items() if key in person.keys]
        assert len(found) < 2, "a key never changes hands"
        return found[0] if found else None

    def answer(self, asked: Asked) -> Verdict:
        """Judge and decide a command that stands alone."""
        if asked.book != self.book:
            return _no(["wrong-book"])
        before = self.done.get((asked.member, asked.id))
        if before is not None:
            if self.owner(asked.key) != asked.member:
                return _no(self._signer_faults(asked))
            same = (before.name, before.body) == (asked.name, asked.body)
            return Verdict(is_repeat=True) if same else _no(["id-reused"])
        faults = {*self._signer_faults(asked), *self._window_faults(asked)}
        if not faults:
            faults = set(self._call("may", asked))
        if not faults:
            self._call("do", asked)
            self.done[asked.member, asked.id] = asked
        return _no(faults)

    def answer_batch(
        self, asked: Asked, items: Sequence[tuple[str, str, Any]]
    ) -> Verdict | list[Verdict]:
        """Judge a batch: as a whole by its address and key, then every item by itself."""
        if asked.book != self.book:
            return _no(["wrong-book"])
        if self.owner(asked.key) != asked.member:
            return _no(self._signer_faults(asked))
        found, seen = [], set()
        for item, name, body in items:
            if item in seen:
                found.append(_no(["duplicate-id"]))
            elif name in NOT_IN_BATCHES:
                found.append(_no(["not-batchable"]))
            else:
                found.append(self.answer(replace(asked, id=item, name=name, body=body)))
            seen.add(item)
        return found

    def _call(self, word: str, asked: Asked) -> Any:
        name = re.sub(r"(?<!^)([A-Z])", r"_\1", asked.name).lower()
        rule = getattr(self, f"{word}_{name}", None)
        if rule is None:
            return ["wrong-service"]
        return rule(asked.id if word == "do" else None, asked.member, asked.body)

    def _signer_faults(self, asked: Asked) -> Iterable[str]:
        person = self.people.get(asked.member)
        if person is None:
            is_first = asked.key == self.founder and not self.approvers()
            return [] if is_first else ["unknown-member"]
        wrong = ["wrong-key"] if person.key != asked.key else []
        return [*wrong, *(["member-suspended"] if person.is_suspended else [])]

    def _window_faults(self, asked: Asked) -> Iterable[str]:
        if self.now >= asked.exp:
            yield "expired"
        if self.now < asked.nbf:
            yield "not-valid-yet"

    def approvers(self) -> set[str]:
        """Who may approve today."""
        return {
            name
            for name, person in self.people.items()
            if "approver" in person.roles and not person.is_suspended
        }

    def lacks(self, member: str, role: str) -> Iterable[str]:
        if member in self.people and role not in self.people[member].roles:
            yield "wrong-role"


class Register(Decider):
    """The register of members; what it accepts is appended to `changes`."""

    def __init__(self, founder: str) -> None:
        super().__init__("register", founder)
        self.changes: list[Change] = []

    def _change(self, change: Change) -> None:
        self.changes.append(change)
        self.learn(change)

    def _new_faults(self, who: str, member: str, key: str) -> Iterable[str]:
        yield from self.lacks(who, "approver")
        if member in RESERVED or member.startswith("book-"):
            yield "member-reserved"
        if member in self.people:
            yield "member-exists"
        if self.owner(key) is not None:
            yield "address-exists"

    def may_register_member(self, _: None, who: str, body: Any) -> Iterable[str]:
        yield from self._new_faults(who, body.member, body.address)
        if len(set(body.roles)) < len(body.roles):
            yield "role-twice"

    def do_register_member(self, _: str, __: str, body: Any) -> None:
        self._change(Change(body.member, key=body.address, roles=frozenset(body.roles)))

    def may_register_factory(self, _: None, who: str, body: Any) -> Iterable[str]:
        yield from self._new_faults(who, body.factory_id, body.address)

    def do_register_factory(self, _: str, __: str, body: Any) -> None:
        opening = (body.book, body.initial_balance_wh, body.currency_balance_stroops)
        roles = frozenset({"factory"})
        self._change(Change(body.factory_id, key=body.address, roles=roles, opening=opening))

    def may_grant_roles(self, _: None, who: str, body: Any) -> Iterable[str]:
        yield from self.lacks(who, "approver")
        if len(set(body.roles)) < len(body.roles):
            yield "role-twice"
        if body.member not in self.people:
            yield "unknown-member"
        elif self.people[body.member].roles == set(body.roles):
            yield "roles-unchanged"
        if "approver" not in body.roles and self.approvers() == {body.member}:
            yield "last-approver"

    def do_grant_roles(self, _: str, __: str, body: Any) -> None:
        self._change(Change(body.member, roles=frozenset(body.roles)))

    def may_rotate_key(self, _: None, who: str, body: Any) -> Iterable[str]:
        if body.member != who:
            yield from self.lacks(who, "approver")
        if body.member not in self.people:
            yield "unknown-member"
        if self.owner(body.address) is not None:
            yield "address-exists"

    def do_rotate_key(self, _: str, __: str, body: Any) -> None:
        self._change(Change(body.member, key=body.address))

    def may_suspend_member(self, _: None, who: str, body: Any) -> Iterable[str]:
        yield from self.lacks(who, "approver")
        if body.member not in self.people:
            yield "unknown-member"
        elif self.people[body.member].is_suspended == body.suspended:
            yield "suspension-unchanged"
        if body.suspended and self.approvers() == {body.member}:
            yield "last-approver"

    def do_suspend_member(self, _: str, __: str, body: Any) -> None:
        self._change(Change(body.member, is_suspended=body.suspended))


def _no(faults: Iterable[str]) -> Verdict:
    return Verdict(frozenset(faults))
