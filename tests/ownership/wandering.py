"""Random histories of everything: systems, prices, readings, payments, lateness, cures."""

from collections.abc import Callable
from datetime import datetime, timedelta

from libs.events.billing_commands import DisputeInvoice, PauseClock, ResolveDispute, ResumeClock
from libs.events.commands import ReceiveFunds, SettleSuspense, WithdrawFunds
from libs.events.system_commands import (
    AcceptHolding,
    AcceptShares,
    OfferHolding,
    OfferShares,
    Pay,
    PayContractor,
    Prepay,
    RefundCredit,
    SetStandingOrder,
)
from tests.dumping import like, rows
from tests.ownership.arithmetic import DAY
from tests.ownership.beginning import HOMES, HOUR, INVESTORS, UNIT, Beginning
from tests.ownership.joined import fresh_book
from tests.ownership.owing import Agreement
from tests.ownership.playing import APPROVER


class Wanderer(Beginning):
    """One random history over one system with one to three holdings."""

    # -- what happens -------------------------------------------------------------------------

    def wander(self, steps: int) -> None:
        """So many random things happen."""
        if not self.agreements:
            return
        doings: list[tuple[int, Callable[[], object]]] = [
            (30, self.advance),
            (10, self.report),
            (14, self.pay),
            (3, self.prepay),
            (3, self.standing_order),
            (3, self.receive),
            (2, self.refund),
            (3, self.deposit),
            (3, self.withdraw),
            (5, self.correct),
            (3, self.dispute),
            (2, self.resolve),
            (2, self.pause),
            (3, self.shares),
            (3, self.contractor),
            (1, self.suspense),
            (3, self.restart),
            (1, self.hand_on),
        ]
        weights = [weight for weight, _ in doings]
        for _ in range(steps):
            (doing,) = self.random.choices([each for _, each in doings], weights)
            doing()
            self.steps += 1

    def advance(self) -> None:
        """The meters report what was, more or less, and time goes on."""
        self.report()
        days = self.random.choice((1, 1, 3, 7, 7, 15, 31))
        self._publish_spot(self.world.now + (days + 1) * DAY)
        self.world.advance(timedelta(days=days, hours=self.random.randint(0, 5)))

    def report(self) -> None:
        """All meters report twelve hours; one of them may be late."""
        now, pick = self.world.now, self.random
        late = pick.choice((*self.read_until, None, None, None, None, None))
        begin = max(*self.read_until.values(), now.replace(minute=0, second=0) - 2 * DAY)
        if begin + 12 * HOUR > now:
            return
        for meter in self.read_until:
            least, most = (2_000, 40_000) if meter == "pv" else (0, 25_000)
            values = tuple(pick.randint(least, most) for _ in range(12))
            self.read_until[meter] = begin + DAY
            if meter == late:
                self.kept_back.append((meter, begin, values))
            else:
                self._measure(meter, begin, values)
        if self.kept_back and pick.random() < 0.4:
            meter, begin, values = self.kept_back.pop(0)
            if begin > now - 30 * DAY:
                self._measure(meter, begin, values)
        self.world.settle()

    def _measure(self, meter: str, begin: datetime, values: tuple[int, ...]) -> None:
        self.world.measure(meter, begin, 3_600, values)
        self.reported.append((meter, begin, values))

    def correct(self) -> None:
        recent = [each for each in self.reported if each[1] > self.world.now - 30 * DAY]
        if not recent:
            return
        meter, begin, values = self.random.choice(recent)
        self.reported.remove((meter, begin, values))
        deltas = tuple(self.random.choice((0, -value // 2, value // 3)) for value in values)
        self.world.correct(meter, begin, 3_600, deltas)

    def hand_on(self) -> None:
        """A holder gives his holding away; it moves when the running period ends."""
        agr, ledger = self._one(), self.world.model.ledger
        if agr.owned_at is not None or agr.name in ledger.moving:
            return
        to = self.random.choice([name for name in (*HOMES, "heir") if name != agr.member])
        self.world.ask(agr.member, OfferHolding(holding=agr.holding, to_member=to), lambda: None)
        self.world.ask(
            to,
            AcceptHolding(holding=agr.holding),
            lambda: self.world.model.accept_holding(agr.name, to),
        )

    def restart(self, whose: str | None = None) -> None:
        """A service ends and begins again, from its streams or from a snapshot; all goes on."""
        whose = whose or self.random.choice(("ledger", "billing", "snapshot"))
        real = self.world.real
        if whose in {"ledger", "both"}:
            real.ledger.begin_again(self.random.sample(real.ledger.inputs, 5))
        if whose in {"snapshot", "both"}:
            before = real.book
            real.ledger.rules = after = fresh_book()
            after.load(rows(before))
            assert like(after) == like(before)
        if whose in {"billing", "both"}:
            real.billing.begin_again(self.random.sample(real.billing.inputs, 5))
        facts = len(real.history.facts)
        self.world.settle()
        assert len(real.history.facts) == facts, "what was decided is decided again"

    def _one(self) -> Agreement:
        return self.random.choice(self.agreements)

    def pay(self) -> None:
        """All that is open, all that is overdue, or any amount."""
        agr, pick = self._one(), self.random
        opened = sum(bill.open_total for bill in agr.bills.values())
        amount = pick.choice(
            (opened, opened, agr.overdue(self.world.now), opened // 3, pick.randint(1, 30 * UNIT))
        )
        if amount > 0:
            body = Pay(agreement=agr.name, amount_stroops=amount)
            self.world.ask(
                agr.member, body, lambda: self.world.model.ledger.pay(agr.member, agr.name, amount)
            )

    def prepay(self) -> None:
        agr = self._one()
        owed = self.world.model.ledger.owed(agr)
        amount = self.random.choice((owed, owed // 7, owed + 1))
        if amount > 0:
            body = Prepay(agreement=agr.name, amount_stroops=amount)
            self.world.ask(
                agr.member, body, lambda: self.world.model.ledger.prepay(agr.name, amount)
            )

    def standing_order(self) -> None:
        agr, limit = self._one(), self.random.choice((0, UNIT, 40 * UNIT))

        def mirror() -> None:
            agr.order_limit, agr.order_by = limit, agr.member

        body = SetStandingOrder(agreement=agr.name, limit_stroops=limit)
        self.world.ask(agr.member, body, mirror)

    def receive(self) -> None:
        agr, pick = self._one(), self.random
        reference = pick.choice((agr.name, agr.name, "rent for june"))
        asset, amount = pick.choice(("USD", "USD", "EUR")), pick.randint(1, 20 * UNIT)
        receipt = f"{APPROVER}.c{self.world.count + 1}"
        body = ReceiveFunds(asset=asset, amount_stroops=amount, reference=reference)
        self.world.ask(
            APPROVER,
            body,
            lambda: self.world.model.ledger.receive(receipt, asset, amount, reference),
        )
        if self.world.model.ledger.accounts.of(f"U:{asset}", f"suspense:{receipt}"):
            self.receipts.append((receipt, asset))

    def suspense(self) -> None:
        if not self.receipts:
            return
        receipt, asset = self.receipts.pop()
        member = self.random.choice((None, "home"))
        to = f"wallet:{member}" if member else f"issuer:{asset}"
        self.world.ask(
            APPROVER,
            SettleSuspense(receipt=receipt, member=member),
            lambda: self.world.model.ledger.settle_suspense(receipt, asset, to),
        )

    def refund(self) -> None:
        agr = self._one()
        credit = self.world.model.ledger.credit(agr)
        amount = self.random.choice((credit, credit // 2, credit + 1))
        if amount > 0:
            body = RefundCredit(agreement=agr.name, amount_stroops=amount)
            self.world.ask(
                agr.member, body, lambda: self.world.model.ledger.refund_credit(agr.name, amount)
            )

    def deposit(self) -> None:
        self.world.deposit(self.random.choice(HOMES), self.random.randint(1, 50 * UNIT))

    def withdraw(self) -> None:
        member = self.random.choice((*HOMES, *INVESTORS, "olga"))
        wallet = self.world.model.ledger.wallet("USD", member)
        amount = self.random.choice((wallet, wallet // 2, wallet + 1))
        if amount > 0:
            self.world.ask(
                APPROVER,
                WithdrawFunds(member=member, asset="USD", amount_stroops=amount),
                lambda: self.world.model.ledger.withdraw(member, "USD", amount),
            )

    def dispute(self) -> None:
        agr = self._one()
        bills = [bill for bill in agr.bills.values() if bill.open_total]
        if not bills:
            return
        bill = self.random.choice(bills)
        amount = self.random.choice((bill.open_total, bill.open_total // 2 + 1))
        if bill.later_due_at is not None:
            # The texts do not say which part of an invoice with two due times is disputed.
            amount = bill.open_total
        body = DisputeInvoice(invoice=bill.name, amount_stroops=amount, reason="too-much")
        self.world.ask(
            agr.member, body, lambda: self.world.model.dispute(bill.name, amount), "billing"
        )

    def resolve(self) -> None:
        """Not at all right: what is credited is a history of its own."""
        model = self.world.model
        running = [
            name for name, each in model.lateness.disputes.items() if each.is_running(model.now)
        ]
        if running:
            name = self.random.choice(running)
            body = ResolveDispute(invoice=name, credited_stroops=0)
            self.world.ask(APPROVER, body, lambda: model.resolve(name, 0), "billing")

    def pause(self) -> None:
        """An approver stops the clock, or lets it go on."""
        model = self.world.model
        if self.paused:
            name = self.paused.pop()
            self.world.ask(APPROVER, ResumeClock(pause=name), lambda: model.resume(name), "billing")
            return
        agreement = self.random.choice((None, self._one().name))
        name = f"pause-{self.world.count}"
        self.paused.append(name)
        self.world.ask(
            APPROVER,
            PauseClock(pause=name, agreement=agreement, cause="network-down"),
            lambda: model.pause(name, agreement),
            "billing",
        )

    def shares(self) -> None:
        """An investor sells title to another."""
        world, model = self.world, self.world.model
        if self.offers:
            offer, to = self.offers.pop()
            world.ask(to, AcceptShares(offer=offer), lambda: model.ledger.accept_shares(offer, to))
            return
        title = model.ledger.title(self.system)
        if not title:
            return
        giver = self.random.choice(sorted(title))
        to = self.random.choice([each for each in INVESTORS if each != giver])
        shares, price = self.random.randint(1, title[giver]), self.random.choice((0, 5 * UNIT))
        until = world.now + 10 * DAY
        offer = f"{giver}.c{world.count + 1}"
        body = OfferShares(
            system="sun", to_member=to, shares=shares, price_stroops=price, expires_at=until
        )
        if world.ask(
            giver,
            body,
            lambda: model.ledger.offer_shares(offer, "sun", giver, to, shares, price, until),
        ):
            self.offers.append((offer, to))

    def contractor(self) -> None:
        """Recipient and approver both confirm a payout; either alone does nothing."""
        self.payouts += 1
        model, name = self.world.model.ledger, f"p{self.payouts}"
        amount = self.random.choice((UNIT, self.system.price))
        body = PayContractor(system="sun", payout=name, contractor="carl", amount_stroops=amount)
        for member, role in (("home", "recipient"), (APPROVER, "approver")):
            self.world.ask(
                member,
                body,
                lambda member=member, role=role: model.pay_contractor(  # type: ignore[misc]
                    "sun", name, "carl", amount, member, role
                ),
            )
