"""What money of an agreement clears, whom it reaches, and what it makes owned. Pure.

Money of the class energy goes to accrued return first, then to principal; each stroop of principal
moves one share. Everything else goes to the payee of its line. The holding is owned in the same
decision in which principal and accrued return become zero.

Source: domain rules, section 6; docs/decisions/0005, "Paying".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final, Literal

from libs.events.books import (
    CLEARED_MAX,
    Cleared,
    MoneyMove,
    OwnershipTransferred,
    PaidInto,
    TitleMove,
)
from libs.events.envelope import Draft
from libs.events.invoicing import AgreementOpened
from libs.events.repaying import InvoiceCapped
from libs.events.systems import HoldingOwned
from libs.rules.receivables import Billed, Part, Receivables
from libs.rules.returns import clearing, waterfall
from services.ledger.agreements import Agreements
from services.ledger.returns import Returns, money_moves

DECISION_MAX: Final = 100
"""Most facts of one decision, as the writer says."""

Reason = Literal["owed", "owned"]
"""Why an invoice is capped."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What becomes of some money."""

    accrued: Sequence[Draft]
    """Return that accrues before it, on every agreement whose title changes."""
    cleared: tuple[Cleared, ...]
    """What it clears, in order."""
    returns: tuple[MoneyMove, ...]
    """Return that it pays, by investor."""
    principal: tuple[MoneyMove, ...]
    """Principal that it repays, by investor."""
    is_last: bool
    """Whether principal and return are zero with it."""

    @property
    def principal_stroops(self) -> int:
        """Principal that it repays, in stroops."""
        return sum(each.amount_stroops for each in self.principal)

    @property
    def spent_stroops(self) -> int:
        """What leaves the agreement's credit for others, in stroops."""
        others = sum(each.amount_stroops for each in self.cleared if each.into != "investors")
        return others + sum(each.amount_stroops for each in (*self.returns, *self.principal))


class Settling:
    """Turns money into settlements; it holds no state of its own."""

    def __init__(
        self, *, agreements: Agreements, returns: Returns, receivables: Receivables
    ) -> None:
        """Join what a settlement looks at.

        Args:
            agreements: The agreements.
            returns: What accrues, claims, and title.
            receivables: What is open of every invoice.
        """
        self._agreements, self._returns = agreements, returns
        self._receivables = receivables

    def owed(self, opened: AgreementOpened, now: datetime) -> int:
        """Principal and return through today: what a payoff takes, in stroops."""
        principal = self._agreements.principal(opened)
        return principal + self._returns.with_today(opened.agreement, now)

    def clear(
        self, opened: AgreementOpened, money: int, now: datetime, only: Billed | None = None
    ) -> Settlement:
        """Clear invoices, the oldest due first, inside one by class, as far as the money reaches.

        Args:
            opened: The agreement.
            money: How much there is, in stroops.
            now: Domain time.
            only: The one invoice that may be cleared; absent: all.
        """
        cleared: list[Cleared] = []
        energy = 0
        done = clearing(self._open(opened, only), money, self.owed(opened, now))
        for invoice, part, taken in islice(done, CLEARED_MAX):
            cleared.append(self._entry(invoice, part, taken))
            energy += taken if part[0] == "energy" else 0
        return self._settle(opened, energy, now, tuple(cleared))

    def prepay(self, opened: AgreementOpened, money: int, now: datetime) -> Settlement:
        """Pay return and principal without an invoice; the money is at most what is owed."""
        return self._settle(opened, money, now, ())

    def _open(
        self, opened: AgreementOpened, only: Billed | None
    ) -> Iterator[tuple[Billed, Part, int]]:
        invoices = self._receivables.oldest_first(opened.agreement) if only is None else (only,)
        for invoice in invoices:
            for part, amount in self._receivables.open_parts(invoice).items():
                yield invoice, part, amount

    def _entry(self, invoice: Billed, part: Part, amount: int) -> Cleared:
        line_class, payee = part
        into: PaidInto = "wallet"
        if line_class == "energy":
            into = "investors"
        elif line_class == "tax":
            into = "tax"
        elif line_class == "shared":
            into, payee = self.receiver(payee)
        return Cleared(
            invoice=invoice.invoice,
            line_class=line_class,
            amount_stroops=amount,
            into=into,
            payee=None if into == "investors" else payee,
        )

    def receiver(self, source: str) -> tuple[PaidInto, str]:
        """Who receives money for a co-holder's surplus.

        Args:
            source: The agreement from which the energy came.

        Returns:
            Its credit while its holding is paid for, and afterwards its holder's wallet.
        """
        opened = self._agreements.get(source)
        if opened is None or self._agreements.status(opened) == "HELD":
            return "credit", source
        return "wallet", self._agreements.holder(opened)

    def _settle(
        self, opened: AgreementOpened, energy: int, now: datetime, cleared: tuple[Cleared, ...]
    ) -> Settlement:
        if energy == 0:
            return Settlement((), cleared, (), (), is_last=False)
        name = opened.agreement
        due = self._returns.with_today(name, now)
        open_principal = self._agreements.principal(opened)
        paid, principal = waterfall(energy, due, open_principal)
        accrued = self._returns.accrue(name, now)
        claims = self._returns.claims(opened, accrued)
        by_claim = self._returns.by_weight(paid, claims)
        if principal:  # title changes, and with it how return is split in the whole system
            accrued = self._returns.accrue_system(opened.system, now)
        by_title = self._returns.by_title(opened.system, principal) if principal else {}
        is_last = paid == due and principal == open_principal
        return Settlement(
            accrued, cleared, money_moves(by_claim), money_moves(by_title), is_last=is_last
        )

    def follow(
        self, opened: AgreementOpened, done: Settlement, payment: str, now: datetime
    ) -> list[Draft]:
        """What stands behind the fact that settles: title, and what becomes owned with it.

        Args:
            opened: The agreement.
            done: What was settled.
            payment: Name of the payment.
            now: Domain time.
        """
        if not done.principal:
            return []
        holder, units = self._agreements.holder(opened), self._agreements.units(opened)
        moved = OwnershipTransferred(
            payment=payment,
            system=opened.system,
            holding=opened.holding,
            agreement=opened.agreement,
            to_member=holder,
            moves=tuple(
                TitleMove(member=each.member, shares=each.amount_stroops) for each in done.principal
            ),
            own_shares=self._agreements.own_shares(opened) + done.principal_stroops,
            holding_units=units,
        )
        drafts = [Draft(opened.agreement, moved, f"{payment}.title", now)]
        if not done.is_last:
            return drafts
        owned = HoldingOwned(
            holding=opened.holding,
            system=opened.system,
            agreement=opened.agreement,
            member=holder,
            units=units,
            asset=opened.asset,
            lapsed_prepaid_stroops=self._receivables.prepaid_stroops(opened.agreement),
        )
        drafts.append(Draft(opened.holding, owned, f"{payment}.owned", now))
        left = DECISION_MAX - len(done.accrued) - 1 - len(drafts)
        paid = {
            each.invoice: each.amount_stroops
            for each in done.cleared
            if each.line_class == "energy"
        }
        caps = self._caps_when_owned(opened, paid)[:left]
        names = (f"{payment}.capped.{number}" for number in range(1, len(caps) + 1))
        return drafts + [
            Draft(opened.agreement, fact, name, now) for fact, name in zip(caps, names, strict=True)
        ]

    def _caps_when_owned(
        self, opened: AgreementOpened, paid: Mapping[str, int]
    ) -> list[InvoiceCapped]:
        caps = []
        for invoice in self._receivables.oldest_first(opened.agreement):
            energy = self._receivables.open_stroops(invoice, "energy")
            left = energy - paid.get(invoice.invoice, 0)
            if left:
                caps.append(_cap(opened, invoice, left, "owned"))
        return caps

    def caps(self, opened: AgreementOpened, now: datetime) -> list[Draft]:
        """Cap the invoices that were issued last, so that open energy is at most what is owed."""
        reason: Reason = "owned" if self._agreements.is_owned(opened) else "owed"
        over = self._receivables.open_energy(opened.agreement) - self.owed(opened, now)
        drafts: list[Draft] = []
        invoices = self._receivables.oldest_first(opened.agreement) if over > 0 else ()
        for invoice in sorted(invoices, key=lambda each: -each.number):
            if over <= 0 or len(drafts) == DECISION_MAX:
                break
            lowered = min(over, self._receivables.open_stroops(invoice, "energy"))
            over -= lowered
            if lowered:
                # Capped energy only grows, so each of an invoice's caps has a name of its own.
                before = self._receivables.capped_stroops(invoice.invoice)
                fact = _cap(opened, invoice, lowered, reason)
                fact_id = f"{invoice.invoice}.capped.{before}"
                drafts.append(Draft(opened.agreement, fact, fact_id, now))
        return drafts


def _cap(opened: AgreementOpened, invoice: Billed, amount: int, reason: Reason) -> InvoiceCapped:
    return InvoiceCapped(
        agreement=opened.agreement,
        asset=opened.asset,
        invoice=invoice.invoice,
        amount_stroops=amount,
        reason=reason,
    )
