"""The second model: bills, their replacements, and what they say (domain rules, section 5)."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from tests.ownership.arithmetic import (
    DAY,
    DAYS_OF,
    midnight,
    next_midnight,
    period_end,
    period_name,
    prorated,
    scale,
)
from tests.ownership.owing import ENERGY, Agreement
from tests.ownership.rating import (
    Line,
    Meters,
    Prices,
    Use,
    allocate,
    bucket_at,
    energy_amount,
    starts_between,
    tier_parts,
)

Owed = Callable[[Agreement, date], int]
"""What the ledger's model says an agreement owes, besides open energy, through a period's end."""

LATE = 35 * DAY
"""For so long after an interval what comes late still changes a bill."""


@dataclass(frozen=True)
class Contract:
    """What billing knows of an agreement, as it was signed."""

    name: str
    tariff: str
    period: str
    first_day: date
    lag_s: int
    due_after_s: int
    term_periods: int = 0
    upkeep_payee: str = ""
    upkeep: int = 0
    taxes: tuple[tuple[str, int, tuple[str, ...]], ...] = ()
    rate_feed: str | None = None
    grace: int = 6
    notice_s: int = 7 * 86_400


@dataclass
class Document:
    """An invoice that stands, or stood until a credit note undid it."""

    name: str
    contract: Contract
    first: date
    end: date
    lines: list[Line]
    due_at: datetime
    cutoff: datetime
    issued_at: datetime
    index: int
    """Which period of the agreement it is, from 1."""
    later_due_at: datetime | None = None
    later: int = 0
    revision: int = 1
    owed: int = 0
    """What was owed beside open energy when the period was first billed."""

    @property
    def total(self) -> int:
        return sum(line.amount for line in self.lines)

    def by_row(self) -> dict[tuple[str, str], int]:
        rows: Counter[tuple[str, str]] = Counter()
        for line in self.lines:
            payee = "" if line.line_class == "energy" else line.payee
            rows[line.line_class, payee] += line.amount
        return {row: amount for row, amount in rows.items() if amount}

    def by_class(self) -> dict[str, int]:
        classes: Counter[str] = Counter()
        for line in self.lines:
            classes[line.line_class] += line.amount
        return {kind: amount for kind, amount in classes.items() if amount}


@dataclass
class Account:
    """How far an agreement was billed."""

    contract: Contract
    agreement: Agreement
    next_first: date
    count: int = 0
    standing: list[Document] = field(default_factory=list)
    """Invoices that no credit note undid, by period."""
    unread: int = 0
    """Energy that the ledger has still to read of, of this time's documents."""


class Bills:
    """Issues what a time brings. What the ledger owes is asked of the ledger's model."""

    def __init__(self, meters: Meters, prices: Prices) -> None:
        self.meters, self.prices = meters, prices
        self.accounts: dict[str, Account] = {}

    def open(self, contract: Contract, agreement: Agreement) -> None:
        self.accounts[contract.name] = Account(contract, agreement, contract.first_day)

    def due(self, now: datetime, owed: Owed) -> list[tuple[str, Document]]:
        """Every document that the time brings: `credit` undoes one, `invoice` is a new one."""
        made: list[tuple[str, Document]] = []
        for account in self.accounts.values():
            made += self._of(account, now, owed)
        return made

    def _of(self, account: Account, now: datetime, owed: Owed) -> list[tuple[str, Document]]:
        """First bills and corrections of an agreement, in the order of their times."""
        made: list[tuple[str, Document]] = []
        account.unread = 0
        while True:
            contract, first = account.contract, account.next_first
            end = period_end(first, contract.period)
            until = midnight(end, account.agreement.system.zone)
            cutoff = until + timedelta(seconds=contract.lag_s)
            made += self._corrections(account, min(cutoff, now), now)
            if cutoff > now:
                return made
            account.count += 1
            account.next_first = end
            document = Document(
                name=period_name(contract.name, first, contract.period),
                contract=contract,
                first=first,
                end=end,
                lines=[],
                due_at=now + timedelta(seconds=contract.due_after_s),
                cutoff=cutoff,
                issued_at=now,
                index=account.count,
            )
            document.owed = owed(account.agreement, end) - account.unread
            document.lines = self.lines(account, document, cutoff)
            account.unread += document.by_class().get("energy", 0)
            account.standing.append(document)
            made.append(("invoice", document))

    def _corrections(
        self, account: Account, until: datetime, now: datetime
    ) -> list[tuple[str, Document]]:
        """Settle what came late at the local midnight after it came."""
        made: list[tuple[str, Document]] = []
        zone = account.agreement.system.zone
        if not account.standing:
            return made
        oldest = min(document.cutoff for document in account.standing)
        tags = {each.tag for each in self.meters.measured if each.tag >= oldest}
        for at in sorted({next_midnight(tag, zone) for tag in tags}):
            for number, document in enumerate(account.standing):
                if not document.cutoff < at <= until or at > midnight(document.end, zone) + LATE:
                    continue
                lines = self.lines(account, document, at)
                document.cutoff = at
                if sorted(lines) == sorted(document.lines):
                    continue
                new = self._replacement(document, lines, at, now)
                account.standing[number] = new
                account.unread += new.by_class().get("energy", 0)
                bill = account.agreement.bills.get(document.name)
                # What was paid of it becomes prepaid, and clears the energy of what replaces it.
                account.unread -= (
                    document.by_class().get("energy", 0)
                    if bill is None
                    else bill.open.get(ENERGY, 0) + bill.cleared.get(ENERGY, 0) + bill.prepaid
                )
                made += [("credit", document), ("invoice", new)]
        return made

    @staticmethod
    def _replacement(old: Document, lines: list[Line], at: datetime, now: datetime) -> Document:
        stem = old.name if old.revision == 1 else old.name.rpartition(".")[0]
        new = Document(
            name=f"{stem}.{old.revision + 1}",
            contract=old.contract,
            first=old.first,
            end=old.end,
            lines=lines,
            due_at=old.due_at,
            cutoff=at,
            issued_at=old.issued_at,
            index=old.index,
            revision=old.revision + 1,
            owed=old.owed,
        )
        # What was due first stays due then; what comes on top is due later, all of it at once.
        new.later = max(0, new.total - (old.total - old.later))
        if new.later:
            new.later_due_at = now + timedelta(seconds=old.contract.due_after_s)
            if new.total <= old.total:
                new.later_due_at = old.later_due_at
        return new

    # -- what a bill says ---------------------------------------------------------------------

    def uses(
        self, account: Account, cutoff: datetime, starts: Sequence[datetime]
    ) -> dict[datetime, dict[str, Use]]:
        """The allocation of every interval in which all meters are known."""
        system = account.agreement.system
        generated = self.meters.values(
            self.meters.of(system.name, "generation"), system.rating_s, cutoff
        )
        consumed = {
            holding: self.meters.values(
                self.meters.of(system.name, "consumption", holding), system.rating_s, cutoff
            )
            for holding in system.holdings
        }
        diverted = {
            each.agreement.holding: each.agreement.diverted
            for each in self.accounts.values()
            if each.agreement.system is system
        }
        found = {}
        for start in starts:
            # While a holding is diverted nothing is used in it, whatever its meter says or lacks.
            off = [name for name in consumed if _within(start, diverted.get(name, []))]
            used = {name: 0 if name in off else each.get(start) for name, each in consumed.items()}
            if start in generated and None not in used.values():
                known = {name: wh for name, wh in used.items() if wh is not None}
                found[start] = allocate(generated[start], system.holdings, known)
        return found

    def lines(self, account: Account, document: Document, cutoff: datetime) -> list[Line]:
        lines = self._energy(account, document, cutoff)
        lines += self._running(account, document, cutoff)
        until = midnight(document.end, account.agreement.system.zone)
        owned_at = account.agreement.owned_at
        is_off = _within(until - timedelta(seconds=1), account.agreement.diverted)
        if not is_off and (owned_at is None or owned_at >= until):
            lines += self._minimum(account, document, lines)
            lines += self._term(account, document, lines)
        return lines + self._taxes(account.contract, lines)

    def _energy(self, account: Account, document: Document, cutoff: datetime) -> list[Line]:
        """One line per class, source, version, bucket and tier, rounded once."""
        contract, agr = account.contract, account.agreement
        zone, step_s = agr.system.zone, agr.system.rating_s
        starts = starts_between(document.first, document.end, zone, step_s)
        rate = self.prices.rate(contract.rate_feed, document.issued_at)
        energies: Counter[tuple[str, str, str, int, str]] = Counter()
        marketed: Counter[tuple[str, str, str, int, str]] = Counter()
        for start, uses in self.uses(account, cutoff, starts).items():
            priced = self._price(contract.tariff, start, cutoff, zone)
            if priced is None:
                continue
            number, bucket, price = priced
            use = uses[agr.holding]
            mine = [
                ("shared", "shared", source, wh)
                for source, wh in use.sources
                if self._has_begun(source, start)
            ]
            if agr.owned_at is None or start < agr.owned_at:
                mine.append(("energy", "use", "", use.own))
            for kind, what, source, wh in mine:
                payee = self._agreement_of(source) if source else ""
                key = (kind, what, payee, number, bucket)
                energies[key] += wh
                marketed[key] += wh * price
        lines = []
        for key, wh in energies.items():
            kind, what, payee, number, bucket = key
            if not wh:
                continue
            version = self.prices.tariffs[contract.tariff][number - 1]
            if version.feed is not None:
                amount = energy_amount(marketed[key], rate)
                lines.append(Line(kind, what, payee, number, "", 0, wh, amount))
                continue
            tiers = dict(version.buckets)[bucket]
            for tier, part, price in tier_parts(wh, tiers, document.first, document.end):
                amount = energy_amount(part * price, rate)
                lines.append(Line(kind, what, payee, number, bucket, tier, part, amount))
        return lines

    def _price(
        self, tariff: str, start: datetime, cutoff: datetime, zone: str
    ) -> tuple[int, str, int] | None:
        """Version and bucket of an interval; of a market price its publication, and the price."""
        found = self.prices.version_at(tariff, start, cutoff)
        if found is None:
            return None
        number, version = found
        if version.feed is None:
            return number, bucket_at(version, start, zone)[0], 0
        covered = self.prices.market(version, start, cutoff)
        return None if covered is None else (number, f"#{covered[0]}", covered[1])

    def _has_begun(self, holding: str, start: datetime) -> bool:
        """Before the first day of the source's agreement there is nobody to be paid."""
        source = self.accounts.get(self._agreement_of(holding))
        if source is None:
            return False
        return start >= midnight(source.contract.first_day, source.agreement.system.zone)

    def _agreement_of(self, holding: str) -> str:
        names = [
            each.contract.name
            for each in self.accounts.values()
            if each.agreement.holding == holding
        ]
        return names[0] if names else ""

    def _running(self, account: Account, document: Document, cutoff: datetime) -> list[Line]:
        """Standing charge of the version that holds at the start, and upkeep; to its payee."""
        contract, first, end = account.contract, document.first, document.end
        if not contract.upkeep_payee:
            return []
        agr = account.agreement
        lines, start = [], midnight(first, agr.system.zone)

        def is_supplied(day: date) -> bool:
            return not _within(midnight(day, agr.system.zone), agr.diverted)

        found = self.prices.version_at(contract.tariff, start, cutoff)
        if found is not None and found[1].standing:
            rate = self.prices.rate(contract.rate_feed, document.issued_at)
            amount = prorated(found[1].standing, first, end, is_supplied)
            if contract.rate_feed is not None:
                amount = scale(amount, rate, 10_000_000)
            if amount:
                lines.append(
                    Line("running", "standing", contract.upkeep_payee, found[0], amount=amount)
                )
        if upkeep := prorated(contract.upkeep, first, end, is_supplied):
            lines.append(Line("running", "upkeep", contract.upkeep_payee, amount=upkeep))
        return lines

    @staticmethod
    def _term(account: Account, document: Document, lines: list[Line]) -> list[Line]:
        """At the end of the term, and of every period after, all the rest falls due."""
        contract = account.contract
        if not contract.term_periods or document.index < contract.term_periods:
            return []
        demanded = sum(line.amount for line in lines if line.line_class == "energy")
        rest = document.owed - demanded
        return [Line("energy", "term", amount=rest)] if rest > 0 else []

    @staticmethod
    def _minimum(account: Account, document: Document, lines: list[Line]) -> list[Line]:
        minimum = account.agreement.system.minimum
        if document.contract.period not in DAYS_OF:
            minimum = prorated(minimum, document.first, document.end)
        missing = minimum - sum(line.amount for line in lines)
        return [Line("energy", "minimum", amount=missing)] if missing > 0 else []

    @staticmethod
    def _taxes(contract: Contract, lines: Sequence[Line]) -> list[Line]:
        taxes = []
        for authority, rate_ppm, on in contract.taxes:
            base = sum(line.amount for line in lines if line.line_class in on)
            if amount := scale(base, rate_ppm, 1_000_000):
                taxes.append(Line("tax", "tax", authority, amount=amount))
        return taxes


def _within(at: datetime, stretches: Sequence[tuple[datetime, datetime | None]]) -> bool:
    return any(since <= at and (until is None or at < until) for since, until in stretches)
