"""The second model: members' money, and systems from proposal to operation (domain rules, 7)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tests.ownership.accounts import Accounts
from tests.ownership.arithmetic import day_of, scale

ACCEPT_WITHIN = timedelta(seconds=259_200)
MILLION = 1_000_000


class No(Exception):
    """The rules refuse it."""


def need(*, that: bool, rule: str) -> None:
    if not that:
        raise No(rule)


@dataclass
class Investment:
    investor: str
    amount: int
    units: int
    is_at_risk: bool
    is_seed: bool


@dataclass
class System:
    name: str
    proposer: str
    asset: str
    price: int
    zone: str
    return_ppm: int
    minimum: int
    recipient: str | None = None
    seed_factor: int = 0
    seed_cap: int = 0
    cover_needed: int = 0
    offtaker: str | None = None
    rating_s: int = 900
    stage: int = 0
    is_approved: bool = False
    is_over: bool = False
    units: int = 0
    accepted_by: str | None = None
    full_at: datetime | None = None
    operating_from: date | None = None
    investments: list[Investment] = field(default_factory=list)
    guarantors: list[str] = field(default_factory=list)
    confirmed: dict[str, tuple[str, str, str, int]] = field(default_factory=dict)
    paid_out: set[str] = field(default_factory=set)
    holdings: dict[str, int] = field(default_factory=dict)

    @property
    def u(self) -> str:
        return f"U:{self.asset}"

    @property
    def c(self) -> str:
        return f"C:{self.asset}"

    @property
    def t(self) -> str:
        return f"T:{self.name}"

    def raised(self, *, seed_only: bool = False) -> int:
        return sum(each.amount for each in self.investments if each.is_seed or not seed_only)


class Raising:
    """Money and systems of one book."""

    def __init__(self, address: Callable[[str], str]) -> None:
        self.accounts = Accounts()
        self.address = address
        self.now = datetime(1970, 1, 1, tzinfo=UTC)
        self.systems: dict[str, System] = {}
        self.log: list[tuple[Any, ...]] = []
        """What happened that others are told of."""

    # -- money --------------------------------------------------------------------------------

    def wallet(self, asset: str, member: str) -> int:
        return self.accounts.of(f"U:{asset}", f"wallet:{member}")

    def deposit(self, member: str, asset: str, amount: int) -> None:
        self.accounts.post(f"U:{asset}", f"issuer:{asset}", f"wallet:{member}", amount)

    def withdraw(self, member: str, asset: str, amount: int) -> None:
        need(that=amount <= self.wallet(asset, member), rule="too little money")
        self.accounts.post(f"U:{asset}", f"wallet:{member}", f"issuer:{asset}", amount)

    def suspend(self, receipt: str, asset: str, amount: int) -> None:
        self.accounts.post(f"U:{asset}", f"issuer:{asset}", f"suspense:{receipt}", amount)

    def settle_suspense(self, receipt: str, asset: str, to: str) -> None:
        """To a wallet, a credit, or back to the issuer."""
        amount = self.accounts.of(f"U:{asset}", f"suspense:{receipt}")
        need(that=amount > 0, rule="nothing is suspended")
        self.accounts.post(f"U:{asset}", f"suspense:{receipt}", to, amount)

    # -- systems ------------------------------------------------------------------------------

    def propose(self, system: System) -> None:
        need(that=system.name not in self.systems, rule="known")
        self.systems[system.name] = system

    def approve(self, name: str) -> None:
        """All title is the approver's, to be placed."""
        system = self.systems[name]
        need(that=not system.is_approved, rule="approved already")
        system.is_approved = True
        self.accounts.post(system.t, f"issued:{name}", f"approver:{name}", system.price)

    def advance_stage(self, name: str, to_stage: int) -> None:
        """By hand, one at a time, but not what follows by itself."""
        system = self.systems[name]
        need(that=to_stage == system.stage + 1, rule="one stage at a time")
        need(that=to_stage not in {5, 8} and not system.is_over, rule="it follows by itself")
        need(that=system.is_approved, rule="not approved")
        if to_stage == 7:
            need(that=sum(system.holdings.values()) == system.units, rule="holdings")
            system.operating_from = day_of(self.now, system.zone)
        system.stage = to_stage
        self.log.append(("stage", name, to_stage))

    def invest(self, name: str, investor: str, amount: int, *, at_risk: bool = False) -> None:
        """In stages 1 and 2 the seed round, in stage 4 the raise; money waits in escrow."""
        system = self.systems[name]
        is_seed = system.stage in {1, 2} and system.seed_factor > 0
        need(that=system.is_approved and not system.is_over, rule="not raising")
        need(that=is_seed or system.stage == 4, rule="wrong stage")
        need(that=0 < amount <= system.price - system.raised(), rule="more than what is left")
        units = amount
        if is_seed:
            left = system.seed_cap - system.raised(seed_only=True)
            need(that=amount <= left, rule="more than the seed round takes")
            units = scale(amount, system.seed_factor, MILLION)
        need(that=is_seed or not at_risk, rule="only seed money is at risk")
        need(that=amount <= self.wallet(system.asset, investor), rule="too little money")
        post, t = self.accounts.post, system.t
        post(system.u, f"wallet:{investor}", f"escrow:{name}:{investor}", amount)
        post(t, f"issued:{name}", f"approver:{name}", units - amount)
        post(t, f"approver:{name}", f"reserved:{name}:{investor}", units)
        system.investments.append(Investment(investor, amount, units, at_risk, is_seed))
        if system.raised() == system.price:
            system.full_at = self.now

    def accept(self, name: str, member: str) -> None:
        """Escrow builds it; reserved units become title."""
        system = self.systems[name]
        need(that=system.stage == 4 and not system.is_over, rule="wrong stage")
        need(that=system.raised() == system.price, rule="not full")
        need(that=system.recipient in {None, member}, rule="not the recipient")
        cover = sum(self.accounts.under(system.u, f"cover:{name}:").values())
        need(that=cover >= system.cover_needed, rule="too little cover")
        for each in system.investments:
            at = f"{name}:{each.investor}"
            self.accounts.post(system.u, f"escrow:{at}", f"build:{name}", each.amount)
            self.accounts.post(system.t, f"reserved:{at}", f"title:{at}", each.units)
        system.units = sum(each.units for each in system.investments)
        system.stage, system.accepted_by = 5, member
        self.log.append(("stage", name, 5))

    def cancel(self, name: str) -> None:
        """Everyone is refunded to the stroop; money at risk was spent by the proposer."""
        system = self.systems[name]
        need(that=system.stage <= 4 and not system.is_over, rule="accepted or over")
        system.is_over = True
        for each in system.investments:
            to = system.proposer if each.is_at_risk else each.investor
            at, t = f"{name}:{each.investor}", system.t
            self.accounts.post(system.u, f"escrow:{at}", f"wallet:{to}", each.amount)
            self.accounts.post(t, f"reserved:{at}", f"approver:{name}", each.units)
            self.accounts.post(t, f"approver:{name}", f"issued:{name}", each.units - each.amount)
        self.release_cover(system)
        self.log.append(("cancelled", name))

    def expire_raises(self) -> None:
        """Three days after it is full, a raise that nobody accepted is over."""
        for system in self.systems.values():
            if system.full_at is None or system.stage != 4 or system.is_over:
                continue
            if self.now >= system.full_at + ACCEPT_WITHIN:
                self.cancel(system.name)

    def release_cover(self, system: System) -> None:
        for guarantor, left in self.accounts.under(system.u, f"cover:{system.name}:").items():
            cover = f"cover:{system.name}:{guarantor}"
            self.accounts.post(system.u, cover, f"wallet:{guarantor}", left)

    def cover(self, name: str, guarantor: str, amount: int) -> None:
        system = self.systems[name]
        need(that=system.is_approved and not system.is_over, rule="not raising")
        need(that=system.stage <= 4, rule="accepted")
        need(that=amount <= self.wallet(system.asset, guarantor), rule="too little money")
        cover = f"cover:{name}:{guarantor}"
        self.accounts.post(system.u, f"wallet:{guarantor}", cover, amount)
        if guarantor not in system.guarantors:
            system.guarantors.append(guarantor)

    def pay_contractor(
        self, name: str, payout: str, contractor: str, amount: int, member: str, role: str
    ) -> None:
        """Two members confirm the same, one as the recipient and one as an approver; once."""
        system = self.systems[name]
        need(that=system.accepted_by is not None, rule="nothing was raised")
        need(that=payout not in system.paid_out, rule="paid already")
        need(that=role == "approver" or member == system.accepted_by, rule="not the recipient")
        built = self.accounts.of(system.u, f"build:{name}")
        need(that=amount <= built, rule="more than was raised")
        first = system.confirmed.get(payout)
        if first is None:
            system.confirmed[payout] = (member, role, contractor, amount)
            return
        need(that=first[0] != member and first[1] != role, rule="two members, two roles")
        need(that=first[2:] == (contractor, amount), rule="both name the same")
        self.accounts.post(system.u, f"build:{name}", f"wallet:{contractor}", amount)
        system.paid_out.add(payout)

    def open_holding(self, name: str, holding: str, units: int) -> None:
        system = self.systems[name]
        need(that=system.units > 0, rule="units are fixed when the raise closes")
        need(that=sum(system.holdings.values()) + units <= system.units, rule="too many units")
        system.holdings[holding] = units
