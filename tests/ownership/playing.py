"""The real rules beside the second model: whatever happens, happens to both; both must agree."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from libs.events.billing_commands import OpenAgreement
from libs.events.books import Terms
from libs.events.command import Body
from libs.events.commands import DepositFunds
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.invoicing import CreditNoteIssued, InvoiceIssued, Tax, Upkeep
from libs.events.metering import (
    MeterEnrolled,
    MeterHead,
    ReadingCorrected,
    ReadingRecorded,
    RegisterCorrection,
    RegisterDifferences,
    RegisterValue,
)
from libs.events.pricing import (
    Observation,
    PricePublished,
    TariffPrices,
    TariffPublished,
    Used,
)
from libs.events.system_commands import (
    AcceptRaise,
    ApproveSystem,
    DepositCover,
    Invest,
    OpenHolding,
    ProposeSystem,
)
from libs.events.systems import SeedRound
from libs.rules.stages import walk
from libs.runtime.failures import HeliographError
from tests.histories import ANY_COMMAND_SIGNED, START, key_of
from tests.ownership.bills import Contract, Document
from tests.ownership.comparing import TOLD, same
from tests.ownership.joined import METERS, PRICES, READINGS, Joined
from tests.ownership.model import Model, Published, Version
from tests.ownership.raising import No, System
from tests.ownership.reconciling import Audit

APPROVER, DEVELOPER = "anna", "dev"
REGISTER = {"generation": "generated", "consumption": "consumed", "grid": "exported"}
CADENCE_S = 400 * 86_400
"""Steps are announced to be long, so that no history has an outage that it does not mean."""


class World:
    """One book, its model, and a clock."""

    def __init__(self, members: Mapping[str, Sequence[str]]) -> None:
        self.real = self.make_joined()
        self.model = Model(address=lambda member: key_of(member).address)
        self.now = START
        self.count = 0
        self.seqs: Counter[str] = Counter()
        self.versions: Counter[str] = Counter()
        self.corrected: set[str] = set()
        """Agreements with a corrected bill: what was overdue depends on who had read what."""
        self.steps: list[tuple[str, str, str, int]] = []
        self.notes: list[str] = []
        self.audit = Audit()
        for member, roles in {
            APPROVER: ("approver",),
            DEVELOPER: ("developer",),
            **members,
        }.items():
            self.real.history.register(member, *roles)
        self.advance(timedelta(0))

    def make_joined(self) -> Joined:
        return Joined()

    # -- what happens to both -----------------------------------------------------------------

    def ask(
        self, member: str, body: Body, mirror: Callable[[], None], service: str = "ledger"
    ) -> bool:
        """A member commands; both accept it or both refuse it."""
        self.count += 1
        side = self.real.ledger if service == "ledger" else self.real.billing
        self.notes.append(f"{self.now}: {member}: {body!r}")
        try:
            mirror()
        except No as no:
            refused: str | None = str(no)
        else:
            refused = None
        try:
            side.ask(member, f"c{self.count}", body, self.now)
        except HeliographError as error:
            real: HeliographError | None = error
        else:
            real = None
        both = {"real": real, "model": refused}
        assert (real is None) == (refused is None), f"only one of both refuses it: {both}"
        self.settle()
        return refused is None

    def advance(self, by: timedelta, cadence_s: int = CADENCE_S) -> None:
        """The clock goes on, READINGS reaches it, and both decide what it brings."""
        self.now += by
        self.notes.append(f"{self.now}: time")
        self.real.history.advance(self.now, READINGS, cadence_s=cadence_s)
        self.model.tick(self.now, cadence_s)
        if self.real.is_billing_down:
            self.real.run(self._read)
        else:
            documents = self.model.documents()
            # What is late is decided with the bills, before the ledger has read those.
            notes = [each for kind, each in documents if kind == "credit"]
            undone = {each.name for each in notes}
            while taken := self.model.take_steps(undone):
                self.steps += taken
            self.corrected |= {each.contract.name for each in notes}
            self.settle(documents)

    def settle(self, expected: Sequence[tuple[str, Document]] = ()) -> None:
        """Both decide what follows; then they are compared."""
        self.expected = {(kind, each.name): each for kind, each in expected}
        self.model.ledger.settle()
        self.real.run(self._read)
        assert not self.expected, f"not issued: {sorted(self.expected)}"
        for name, agreement, invoice, _ in self.steps:
            self.model.ledger.escalate(self.model.ledger.agreements[agreement], name, invoice)
        self.steps = []
        self.model.follow_up()
        self.compare()

    expected: dict[tuple[str, str], Document]

    def _read(self, recorded: Recorded[Fact]) -> None:
        """The ledger is about to read a fact of billing; the model reads its own."""
        fact = recorded.fact
        if isinstance(fact, InvoiceIssued):
            self._check_number(fact.number)
            document = self.expected.pop(("invoice", fact.invoice), None)
            assert document is not None, f"nobody expects {fact.invoice}"
            same(document, fact)
            self.model.read("invoice", document)
        elif isinstance(fact, CreditNoteIssued) and fact.reason != "dispute":
            self._check_number(fact.number)
            document = self.expected.pop(("credit", fact.invoice), None)
            assert document is not None, f"nobody expects {fact.credit_note}"
            amounts = {each.line_class: each.amount_stroops for each in fact.amounts}
            assert amounts == document.by_class(), (fact, document)
            self.model.read("credit", document)

    def _check_number(self, number: int) -> None:
        assert number == self.model.numbers + 1, "numbers have a gap"

    def compare(self) -> None:
        """Same balances, same steps, same supply; and the laws."""
        self.model.check()
        real = self.audit.follow(self.real)
        mine = self.model.balances
        different = {
            place: (real.get(place, 0), mine.get(place, 0))
            for place in sorted({*real, *mine})
            if real.get(place, 0) != mine.get(place, 0)
        }
        assert not different, f"(real, model): {different}"
        told = [each for each in map(self._told, self.real.history.facts) if each is not None]
        heard = [each for each in self.model.log if each[0] not in {"first loss", "cancelled"}]
        real_told, model_told = Counter(told), Counter(self._loose(each) for each in heard)
        assert real_told == model_told, (real_told - model_told, model_told - real_told)

    def _told(self, recorded: Recorded[Fact]) -> tuple[Any, ...] | None:
        tell = TOLD.get(type(recorded.fact).__name__)
        return None if tell is None else self._loose(tell(recorded.fact))

    def _loose(self, told: tuple[Any, ...]) -> tuple[Any, ...]:
        """A step without the amount, for agreements with a bill that was corrected."""
        names_invoice = len(told) == 4 or told[0] in {"diverted", "disconnected"}
        if names_invoice and self.model.lateness.pauses:
            # Two invoices that fell due in one pause are equally late.
            return told[:2]
        return told[:3] if len(told) == 4 and told[1] in self.corrected else told

    # -- members, systems, agreements ---------------------------------------------------------

    def deposit(self, member: str, amount: int, asset: str = "USD") -> None:
        self.ask(
            APPROVER,
            DepositFunds(member=member, asset=asset, amount_stroops=amount),
            lambda: self.model.ledger.deposit(member, asset, amount),
        )

    def propose(self, system: System, offers: Terms) -> None:
        """A system is proposed and approved."""
        seed = None
        if system.seed_factor:
            seed = SeedRound(factor_ppm=system.seed_factor, cap_stroops=system.seed_cap)
        body = ProposeSystem(
            system=system.name,
            asset=system.asset,
            price_stroops=system.price,
            nameplate_w=5_000,
            site="roof",
            time_zone=system.zone,
            rating_interval_s=system.rating_s,
            terms=offers,
            recipient=system.recipient,
            seed=seed,
            cover_stroops=system.cover_needed or None,
            offtaker=system.offtaker,
        )
        self.ask(DEVELOPER, body, lambda: self.model.ledger.propose(system))
        approve = ApproveSystem(system=system.name)
        self.ask(APPROVER, approve, lambda: self.model.ledger.approve(system.name))

    def to_stage(self, system: str, stage: int) -> None:
        """Whoever answers for the stages between says that they are complete."""
        at = self.model.ledger.systems[system].stage
        for who, body in walk(
            system, at, stage, lambda kind: kind.encode().hex().ljust(64, "0")[:64]
        ):
            member = APPROVER if who == "approver" else DEVELOPER
            self.ask(
                member,
                body,
                lambda body=body: self.model.ledger.advance_stage(system, body.to_stage),  # type: ignore[misc]
            )

    def invest(
        self, system: str, member: str, amount: int, offers: Terms, *, at_risk: bool = False
    ) -> bool:
        body = Invest(
            system=system, amount_stroops=amount, terms=offers, is_at_risk=True if at_risk else None
        )
        return self.ask(
            member, body, lambda: self.model.ledger.invest(system, member, amount, at_risk=at_risk)
        )

    def cover(self, system: str, member: str, amount: int) -> None:
        body = DepositCover(system=system, amount_stroops=amount)
        self.ask(member, body, lambda: self.model.ledger.cover(system, member, amount))

    def accept(self, system: str, member: str) -> None:
        body = AcceptRaise(system=system)
        self.ask(member, body, lambda: self.model.ledger.accept(system, member))

    def open_holding(self, system: str, holding: str, recipient: str, units: int) -> None:
        body = OpenHolding(holding=holding, system=system, recipient=recipient, units=units)
        self.ask(APPROVER, body, lambda: self.model.ledger.open_holding(system, holding, units))

    def agree(
        self, contract: Contract, holding: str, system: str, member: str, offers: Terms
    ) -> None:
        """A recipient opens his agreement."""
        taxes = tuple(
            Tax(authority=authority, rate_ppm=rate, on=on)  # type: ignore[arg-type]
            for authority, rate, on in contract.taxes
        )
        upkeep = None
        if contract.upkeep_payee:
            upkeep = Upkeep(payee=contract.upkeep_payee, amount_stroops_per_month=contract.upkeep)
        body = OpenAgreement(
            agreement=contract.name,
            holding=holding,
            tariff=contract.tariff,
            period=contract.period,  # type: ignore[arg-type]
            first_day=contract.first_day.isoformat(),
            rating_interval_s=self.model.ledger.systems[system].rating_s,
            settlement_lag_s=contract.lag_s,
            due_after_s=contract.due_after_s,
            terms=offers,
            term_periods=contract.term_periods or None,
            expected_wh_year=10**9,
            grace_periods=contract.grace,
            notice_s=contract.notice_s,
            upkeep=upkeep,
            taxes=taxes or None,
        )
        self.ask(
            member,
            body,
            lambda: self.model.open_agreement(contract, holding, system, member),
            service="billing",
        )

    # -- meters and prices --------------------------------------------------------------------

    def enrol(self, meter: str, role: str, system: str, holding: str | None = None) -> None:
        fact = MeterEnrolled.model_validate(
            {
                "meter": meter,
                "address": key_of("teller").address,
                "role": role,
                "system": system,
                "holding": holding,
                "site": "roof",
                "nameplate_w": 5_000_000,
                "starts": (),
                "command": ANY_COMMAND_SIGNED,
            }
        )
        self.real.history.record(METERS, meter, fact, time=self.now)
        self.model.enrol(meter, role, system, holding or "")
        self.settle()

    def measure(self, meter: str, start: datetime, step_s: int, values: Sequence[int]) -> None:
        """A meter's report is recorded."""
        role = self.model.meters.roles[meter][0]
        self.seqs[meter] += 1
        seq = self.seqs[meter]
        register: Any = REGISTER[role]
        fact = ReadingRecorded(
            meter=meter,
            seq=seq,
            epoch=1,
            first_interval_at=start,
            interval_s=step_s,
            registers=(
                RegisterDifferences(name=register, differences_wh=tuple(values), after_wh=10**9),
            ),
            head=MeterHead(
                epoch=1,
                seq=seq,
                until_at=start + timedelta(seconds=step_s * len(values)),
                registers=(RegisterValue(name=register, value_wh=10**9),),
                gaps=(),
            ),
            report="a.b.c",
        )
        self.real.history.record(READINGS, meter, fact, time=self.now)
        self.model.measure(meter, start, step_s, values)

    def correct(self, meter: str, start: datetime, step_s: int, deltas: Sequence[int]) -> None:
        """An approver corrects what was recorded."""
        self.count += 1
        register: Any = REGISTER[self.model.meters.roles[meter][0]]
        fact = ReadingCorrected(
            meter=meter,
            correction=f"{APPROVER}.fix-{self.count}",
            first_interval_at=start,
            interval_s=step_s,
            registers=(RegisterCorrection(name=register, deltas_wh=tuple(deltas)),),
            reason="test",
            command=ANY_COMMAND_SIGNED,
        )
        self.notes.append(f"{self.now}: {meter} corrected from {start} by {deltas}")
        self.real.history.record(READINGS, meter, fact, time=self.now)
        self.model.measure(meter, start, step_s, deltas, is_correction=True)
        self.settle()

    def publish_prices(
        self, feed: str, first_at: datetime, step_s: int, values: Sequence[int]
    ) -> None:
        """Market prices of a feed stand in PRICES."""
        observed = Observation(first_at=first_at, interval_s=step_s, values=tuple(values))
        used = Used(source="mill", position=f"PRICES:1:{'0' * 32}", is_outlier=False)
        fact = PricePublished(feed=feed, asset="USD", published=observed, made_of=(used,))
        self.real.history.record(PRICES, feed, fact, time=self.now)
        published = Published(first_at, step_s, tuple(values), self.now)
        self.model.publish_prices(feed, published)

    def publish(self, tariff: str, prices: TariffPrices, version: Version) -> None:
        """A version of a tariff stands in PRICES; the model has it in its own shape."""
        self.versions[tariff] += 1
        fact = TariffPublished(
            tariff=tariff,
            version=self.versions[tariff],
            asset=version.asset,
            prices=prices,
            effective_from=version.effective_from,
            command=ANY_COMMAND_SIGNED,
        )
        self.real.history.record(PRICES, tariff, fact, time=self.now)
        self.model.publish(tariff, version)
        self.settle()
