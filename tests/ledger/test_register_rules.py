"""The rules of the register by given / when / then: who is let in, with which key and roles."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.command import Body
from libs.events.commands import (
    AdvanceTime,
    DepositFunds,
    GrantRoles,
    RegisterMember,
    RotateKey,
    SuspendMember,
)
from libs.events.fact import Fact
from libs.events.membership import (
    FactoryProfile,
    KeyRotated,
    MemberRegistered,
    MemberSuspended,
    Opening,
    RoleGranted,
)
from libs.events.trade_commands import RegisterFactory
from libs.rules.authority import Authority
from libs.rules.membership import Members
from libs.runtime.failures import HeliographError, NotFound, Refused
from services.ledger.members import BOOK, Register
from tests.histories import DEPLOYMENT, START, Stage, key_of

FIRST = key_of("founder").address


def empty(*books: str) -> Stage:
    authority = Authority(deployment=DEPLOYMENT, service="ledger", book=BOOK, first_approver=FIRST)
    rules = Register(authority=authority, stream="MEMBERS", books=books)
    stage = Stage(rules, "MEMBERS", BOOK)
    stage.advance(0)
    return stage


def register() -> Stage:
    """Anna approves; Ines invests; Raul uses."""
    stage = empty()
    stage.when("anna", "1", member("anna", "approver"), signer="founder")
    stage.when("anna", "2", member("ines"))
    stage.when("anna", "3", member("raul", "recipient"))
    return stage


def member(name: str, *roles: str, key: str = "") -> RegisterMember:
    return RegisterMember.model_validate(
        {"member": name, "address": key_of(key or name).address, "roles": roles or ("investor",)}
    )


def grant(name: str, *roles: str) -> GrantRoles:
    return GrantRoles.model_validate({"member": name, "roles": roles})


def rotate(name: str, key: str) -> RotateKey:
    return RotateKey(member=name, address=key_of(key).address)


def suspend(name: str, *, on: bool = True) -> SuspendMember:
    return SuspendMember(member=name, suspended=on, reason="key-lost")


def refusal(stage: Stage, who: str, body: Body, **claims: Any) -> tuple[str, str | None]:
    with pytest.raises(HeliographError) as caught:
        stage.when(who, "refused", body, **claims)
    assert isinstance(caught.value, NotFound if caught.value.status == 404 else Refused)
    return caught.value.code, caught.value.field


def only(facts: list[Fact]) -> Any:
    (fact,) = facts
    return fact


def test_the_first_approver_registers_himself_and_is_an_approver_like_others() -> None:
    stage = empty()
    fact = only(stage.when("founder", "1", member("founder", "approver")))
    assert isinstance(fact, MemberRegistered)
    assert stage.when("founder", "2", member("ines"))


def test_the_setting_counts_only_until_an_approver_stands_in_the_register() -> None:
    stage = empty()
    stage.when("founder", "1", member("ines"))
    assert stage.when("founder", "2", member("anna", "approver"))
    assert refusal(stage, "founder", member("eve")) == ("unknown-member", "member")
    assert stage.when("anna", "3", member("eve"))


def test_a_factory_trades_only_in_a_book_of_the_installation() -> None:
    stage = empty("valley", "harbour")
    stage.when("anna", "1", member("anna", "approver"), signer="founder")
    body = RegisterFactory(
        factoryId="Factory01",
        address=key_of("Factory01").address,
        name="Solar Factory",
        energyType="solar",
        book="vally",
        initialBalance=1_000_000,
    )
    with pytest.raises(NotFound) as error:
        stage.when("anna", "2", body)
    assert (error.value.code, error.value.field) == ("unknown-book", "body.book")
    assert stage.when("anna", "3", body.model_copy(update={"book": "valley"}))


def test_a_factory_is_registered_with_its_profile_and_its_opening() -> None:
    stage = register()
    body = RegisterFactory(
        factoryId="Factory01",
        address=key_of("Factory01").address,
        name="Solar Factory Ä",
        energyType="solar",
        book="valley",
        initialBalance=1_000_000,
        currencyBalance=10_000_000_000,
        dailyConsumption=800_000,
    )
    fact = only(stage.when("anna", "4", body))
    assert (fact.member, fact.roles) == ("Factory01", ("factory",))
    assert fact.factory == FactoryProfile(
        name="Solar Factory Ä",
        energy_type="solar",
        daily_consumption_wh=800_000,
        available_energy_wh=1_000_000,
    )
    assert fact.opening == Opening(
        book="valley", asset="TOKEN", energy_wh=1_000_000, amount_stroops=10_000_000_000
    )
    assert refusal(stage, "anna", body) == ("member-exists", "body.factoryId")
    assert refusal(stage, "ines", body) == ("wrong-role", "member")
    other = body.model_copy(update={"factory_id": "Factory02", "available_energy_wh": 7})
    assert refusal(stage, "anna", other) == ("address-exists", "body.address")
    fresh = other.model_copy(update={"address": key_of("Factory02").address})
    assert only(stage.when("anna", "5", fresh)).factory.available_energy_wh == 7


def test_roles_are_replaced_as_a_whole() -> None:
    stage = register()
    fact = only(stage.when("anna", "4", grant("ines", "guarantor", "approver")))
    assert isinstance(fact, RoleGranted)
    assert stage.rules.authority.member("ines").roles == {"guarantor", "approver"}  # type: ignore[union-attr]  # he is there
    assert stage.when("ines", "5", grant("anna", "operator"))
    assert refusal(stage, "anna", member("eve")) == ("wrong-role", "member")


def test_a_member_signs_with_his_new_key_from_then_on() -> None:
    stage = register()
    fact = only(stage.when("raul", "4", rotate("raul", "raul-2")))
    assert fact == KeyRotated(member="raul", address=key_of("raul-2").address, command=fact.command)
    again = rotate("raul", "raul-3")
    assert refusal(stage, "raul", again) == ("wrong-key", "kid")
    assert stage.when("raul", "5", again, signer="raul-2")


def test_the_repeat_of_a_rotation_is_answered_though_its_key_is_gone() -> None:
    stage = register()
    body = rotate("raul", "raul-2")
    assert stage.when("raul", "4", body)
    assert stage.when("raul", "4", body) == []
    with pytest.raises(Refused) as caught:
        stage.when("raul", "4", rotate("raul", "raul-3"), signer="raul-2")
    assert caught.value.code == "id-reused"
    with pytest.raises(Refused) as caught:
        stage.when("raul", "4", body, signer="ines")
    assert caught.value.code == "wrong-key"


def test_an_approver_replaces_a_lost_key() -> None:
    stage = register()
    assert stage.when("anna", "4", rotate("raul", "raul-2"))
    assert refusal(stage, "raul", rotate("raul", "raul-3")) == ("wrong-key", "kid")


def test_a_suspended_member_is_refused_until_it_is_lifted() -> None:
    stage = register()
    before = rotate("raul", "raul-1")
    stage.when("raul", "before", before)
    fact = only(stage.when("anna", "4", suspend("raul")))
    assert fact == MemberSuspended(
        member="raul", suspended=True, reason="key-lost", command=fact.command
    )
    body = rotate("raul", "raul-2")
    assert refusal(stage, "raul", body, signer="raul-1") == ("member-suspended", "member")
    assert stage.when("raul", "before", before) == []
    assert stage.when("anna", "5", suspend("raul", on=False))
    assert stage.when("raul", "6", body, signer="raul-1")


def test_a_suspended_approver_counts_for_nothing() -> None:
    stage = register()
    stage.when("anna", "4", grant("ines", "approver"))
    stage.when("anna", "5", suspend("ines"))
    assert refusal(stage, "anna", suspend("anna")) == ("last-approver", "body.member")
    assert refusal(stage, "anna", grant("anna", "operator")) == ("last-approver", "body.member")
    assert stage.when("anna", "6", grant("ines", "investor"))
    assert stage.when("anna", "7", suspend("ines", on=False))


def test_an_approver_who_is_not_the_last_may_go() -> None:
    stage = register()
    stage.when("anna", "4", grant("ines", "approver"))
    assert stage.when("anna", "5", suspend("anna"))
    assert refusal(stage, "ines", grant("ines", "investor")) == ("last-approver", "body.member")


@pytest.mark.parametrize(
    ("who", "body", "refused"),
    [
        ("anna", member("ines", key="x"), ("member-exists", "body.member")),
        ("anna", member("eve", key="ines"), ("address-exists", "body.address")),
        ("anna", member("eve", key="raul"), ("address-exists", "body.address")),
        ("anna", member("eve", "investor", "investor"), ("role-twice", "body.roles")),
        ("anna", member("time"), ("member-reserved", "body.member")),
        ("anna", member("market"), ("member-reserved", "body.member")),
        ("anna", member("book-hill"), ("member-reserved", "body.member")),
        ("ines", member("eve"), ("wrong-role", "member")),
        ("nobody", member("eve"), ("unknown-member", "member")),
        ("ines", grant("ines", "approver"), ("wrong-role", "member")),
        ("anna", grant("eve", "approver"), ("unknown-member", "body.member")),
        ("anna", grant("ines", "investor"), ("roles-unchanged", "body.roles")),
        ("anna", grant("ines", "auditor", "auditor"), ("role-twice", "body.roles")),
        ("anna", grant("anna", "investor"), ("last-approver", "body.member")),
        ("ines", rotate("raul", "x"), ("wrong-role", "member")),
        ("anna", rotate("eve", "x"), ("unknown-member", "body.member")),
        ("ines", rotate("ines", "ines"), ("address-exists", "body.address")),
        ("ines", rotate("ines", "anna"), ("address-exists", "body.address")),
        ("ines", rotate("ines", "raul"), ("address-exists", "body.address")),
        ("anna", rotate("raul", "raul"), ("address-exists", "body.address")),
        ("ines", suspend("raul"), ("wrong-role", "member")),
        ("anna", suspend("eve"), ("unknown-member", "body.member")),
        ("anna", suspend("ines", on=False), ("suspension-unchanged", "body.suspended")),
        ("anna", suspend("anna"), ("last-approver", "body.member")),
        (
            "anna",
            DepositFunds(member="ines", asset="USD", amount_stroops=1),
            ("wrong-service", None),
        ),
    ],
)
def test_the_register_refuses(who: str, body: Body, refused: tuple[str, str | None]) -> None:
    stage = register()
    stage.when("raul", "4", rotate("raul", "raul-2"))
    assert refusal(stage, who, body) == refused


def test_an_unknown_member_is_not_found() -> None:
    with pytest.raises(NotFound) as caught:
        register().when("anna", "4", suspend("eve"))
    assert caught.value.status == 404


def test_a_command_of_another_service_is_refused_before() -> None:
    assert refusal(register(), "anna", AdvanceTime(to=START)) == ("wrong-service", "service")


NAMES = ("anna", "ines", "raul", "eve")
KEYS = (*NAMES, "k1", "k2", "k3")
ROLES = st.lists(
    st.sampled_from(["approver", "investor", "recipient"]), min_size=1, max_size=3, unique=True
)
BODIES = st.one_of(
    st.builds(
        lambda name, key, roles: member(name, *roles, key=key),
        st.sampled_from(NAMES),
        st.sampled_from(KEYS),
        ROLES,
    ),
    st.builds(lambda name, roles: grant(name, *roles), st.sampled_from(NAMES), ROLES),
    st.builds(rotate, st.sampled_from(NAMES), st.sampled_from(KEYS)),
    st.builds(lambda name, on: suspend(name, on=on), st.sampled_from(NAMES), st.booleans()),
)


class Model:
    """The register told again in the plainest way, from its facts alone."""

    def __init__(self) -> None:
        self.keys: dict[str, list[str]] = {}
        self.roles: dict[str, set[str]] = {}
        self.suspended: set[str] = set()

    def tell(self, fact: Fact) -> None:
        if isinstance(fact, MemberRegistered):
            self.keys[fact.member], self.roles[fact.member] = [fact.address], set(fact.roles)
        elif isinstance(fact, RoleGranted):
            self.roles[fact.member] = set(fact.roles)
        elif isinstance(fact, KeyRotated):
            self.keys[fact.member].append(fact.address)
        elif isinstance(fact, MemberSuspended):
            (self.suspended.add if fact.suspended else self.suspended.remove)(fact.member)

    def check(self) -> None:
        every = [key for keys in self.keys.values() for key in keys]
        assert len(set(every)) == len(every), "no key ever belongs to two members, or comes back"
        assert any("approver" in self.roles[name] for name in self.roles.keys() - self.suspended)


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(KEYS), BODIES), max_size=40))
@settings(max_examples=60, deadline=None)
def test_there_is_always_an_approver_and_no_key_belongs_to_two(
    asked: list[tuple[str, str, Body]],
) -> None:
    stage, model = empty(), Model()
    model.tell(only(stage.when("anna", "0", member("anna", "approver"), signer="founder")))
    for number, (who, signer, body) in enumerate(asked, start=1):
        try:
            facts = stage.when(who, str(number), body, signer=signer)
        except HeliographError:
            continue
        assert key_of(signer).address == model.keys[who][-1]
        assert who not in model.suspended
        for fact in facts:
            model.tell(fact)
        model.check()
    found = stage.rules.authority.members
    for name, keys in model.keys.items():
        known = found.get(name)
        assert known is not None
        assert (known.address, set(known.roles)) == (keys[-1], model.roles[name])
        assert known.is_suspended == (name in model.suspended)
        assert {found.owner_of(key) for key in keys} == {name}


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), BODIES), max_size=25),
    st.integers(min_value=0, max_value=25),
)
@settings(max_examples=40, deadline=None)
def test_a_snapshot_of_the_members_loses_nothing(asked: list[tuple[str, Body]], cut: int) -> None:
    stage = register()
    for number, (who, body) in enumerate(asked, start=10):
        try:
            stage.when(who, str(number), body)
        except HeliographError:
            continue
    facts = [each.fact for each in stage.history.facts if each.stream == "MEMBERS"]
    whole, first, second = Members(), Members(), Members()
    for fact in facts:
        whole.evolve(fact)
    for fact in facts[:cut]:
        first.evolve(fact)
    second.load({name: list(rows) for name, rows in first.dump().items()})
    for fact in facts[cut:]:
        second.evolve(fact)
    assert _state(second) == _state(whole)
    assert second.has_approver == whole.has_approver
    assert [second.is_last_approver(name) for name in NAMES] == [
        whole.is_last_approver(name) for name in NAMES
    ]


def _state(members: Members) -> dict[str, list[Any]]:
    return {name: sorted(rows) for name, rows in members.dump().items()}
