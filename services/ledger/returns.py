"""Return accrues on open principal, day by day of the site, before principal or title change. Pure.

Source: domain rules, section 6; docs/decisions/0005, "Return".
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from libs.events.books import MoneyMove
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.invoicing import AgreementOpened
from libs.events.quantities import as_date
from libs.events.repaying import ReturnAccrued
from libs.events.supply import FirstLossCovered
from libs.rules.authority import Authority
from libs.rules.dumps import Dumped, Loaded
from libs.rules.periods import local_day
from libs.rules.postings import Books
from libs.rules.returns import accruable_days, accrued_stroops, split_by_member
from libs.runtime.failures import BrokenLaw
from services.ledger.agreements import Agreements
from services.ledger.systems import Systems

_DAY: Final = timedelta(days=1)


class Returns:
    """Through which day return is booked for every agreement, and who has claims to it."""

    facts: Final = frozenset[type[Fact]]({ReturnAccrued, FirstLossCovered})
    """What `evolve` takes note of."""

    def __init__(
        self, *, authority: Authority, books: Books, systems: Systems, agreements: Agreements
    ) -> None:
        """Begin with nothing accrued.

        Args:
            authority: The members' addresses, by which ties are broken.
            books: Title and claims.
            systems: Since when a system operates.
            agreements: The agreements.
        """
        self._authority, self._books = authority, books
        self._systems, self._agreements = systems, agreements
        self._next_days: dict[str, date] = {}
        # Who ever had a claim in an agreement: an index, so that nobody looks through all claims.
        self._claimants: dict[str, dict[str, None]] = defaultdict(dict)

    def evolve(self, recorded: Recorded[Fact], *, own: bool) -> None:
        """Fold accruals and claims that a guarantor took over, of the own stream."""
        fact = recorded.fact
        if not own:
            return
        if isinstance(fact, ReturnAccrued):
            self._next_days[fact.agreement] = as_date(fact.until_day)
            self._claimants[fact.agreement].update(dict.fromkeys(m.member for m in fact.moves))
        elif isinstance(fact, FirstLossCovered):
            self._claimants[fact.agreement][fact.guarantor] = None

    def due(self) -> Sequence[Draft]:
        """Nothing: return accrues when something else is decided."""
        return ()

    def accrue(self, agreement: str, now: datetime) -> list[Draft]:
        """What accrues on an agreement through the local day of `now`, that day included.

        Args:
            agreement: Its name.
            now: Domain time of the decision.

        Returns:
            One `ReturnAccrued`, to stand before the fact that changes principal or title; or
            nothing, where that would round to 0 or nobody read of the agreement.
        """
        opened = self._agreements.get(agreement)
        span = None if opened is None else self._open_days(opened, now)
        if opened is None or span is None:
            return []
        principal, rate = self._agreements.principal(opened), opened.terms.return_ppm_year
        amount = accrued_stroops(principal, (span[1] - span[0]).days, rate)
        if amount == 0:
            return []
        fact = ReturnAccrued(
            agreement=agreement,
            system=opened.system,
            asset=opened.asset,
            from_day=span[0].isoformat(),
            until_day=span[1].isoformat(),
            principal_stroops=principal,
            return_ppm_year=rate,
            amount_stroops=amount,
            moves=money_moves(self.by_title(opened.system, amount)),
        )
        return [Draft(agreement, fact, f"{agreement}.return.{fact.from_day}", now)]

    def accrue_system(self, system: str, now: datetime) -> list[Draft]:
        """What accrues on all agreements of a system, by name; see `accrue`.

        For facts that change title: it is split by the title of before.
        """
        names = self._agreements.of_system(system)
        return [draft for name in names for draft in self.accrue(name, now)]

    def due_stroops(self, agreement: str) -> int:
        """Return that is booked and not paid, in stroops."""
        opened = self._agreements.get(agreement)
        if opened is None:
            return 0
        return self._books.balance(f"C:{opened.asset}", f"return_due:{agreement}")

    def with_today(self, agreement: str, now: datetime) -> int:
        """Return that would be due once it accrued through the local day of `now`, in stroops."""
        opened = self._agreements.get(agreement)
        span = None if opened is None else self._open_days(opened, now)
        if opened is None or span is None:
            return self.due_stroops(agreement)
        principal, rate = self._agreements.principal(opened), opened.terms.return_ppm_year
        days = (span[1] - span[0]).days
        return self.due_stroops(agreement) + accrued_stroops(principal, days, rate)

    def claims(self, agreement: AgreementOpened, accrued: Sequence[Draft] = ()) -> dict[str, int]:
        """What every investor's claim to return stands at, by member, above zero.

        Args:
            agreement: The agreement.
            accrued: What the same decision accrues on it.
        """
        claims, asset = {}, f"C:{agreement.asset}"
        for member in self._claimants.get(agreement.agreement, ()):
            place = f"return_to:{agreement.agreement}:{member}"
            if amount := self._books.balance(asset, place):
                claims[member] = amount
        for draft in accrued:
            if isinstance(draft.fact, ReturnAccrued) and draft.key == agreement.agreement:
                for move in draft.fact.moves:
                    claims[move.member] = claims.get(move.member, 0) + move.amount_stroops
        return claims

    def by_title(self, system: str, amount: int) -> dict[str, int]:
        """Split an amount by title in a system, ties by address; parts above zero, by member."""
        prefix = f"title:{system}:"
        titles = self._books.accounts(f"T:{system}", prefix)
        return self.by_weight(amount, {name.removeprefix(prefix): n for name, n in titles.items()})

    def by_weight(self, amount: int, weights: Mapping[str, int]) -> dict[str, int]:
        """Split an amount by a weight for each member, ties by address."""
        return split_by_member(amount, weights, {name: self._address(name) for name in weights})

    def _address(self, member: str) -> str:
        found = self._authority.member(member)
        if found is None:
            raise BrokenLaw("unknown-owner", f"{member} owns title and is not registered")
        return found.address

    def _open_days(self, opened: AgreementOpened, now: datetime) -> tuple[date, date] | None:
        """The days for which nothing is booked yet, the last not included; `None` for none.

        Where return on all of them is more than a fact can say, the first of them.
        """
        system = self._systems.systems.get(opened.system)
        stage7_day = None if system is None else system.stage7_day
        if stage7_day is None or self._agreements.status(opened) != "HELD":
            return None
        first = self._next_days.get(opened.agreement)
        if first is None:
            first = max(as_date(opened.first_day), stage7_day)
        days = (local_day(now, opened.time_zone) + _DAY - first).days
        rate = opened.terms.return_ppm_year
        days = min(days, accruable_days(self._agreements.principal(opened), rate))
        return (first, first + days * _DAY) if days > 0 else None

    def dump(self) -> Dumped:
        """Give the next day and the claimants of every agreement, for a snapshot."""
        days = dict(self._next_days)
        return {
            "next_days": ([name, day.isoformat()] for name, day in days.items()),
            "claimants": [[name, *members] for name, members in self._claimants.items()],
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        self._next_days.update({name: as_date(day) for name, day in dumped["next_days"]})
        for name, *members in dumped["claimants"]:
            self._claimants[name].update(dict.fromkeys(members))


def money_moves(parts: Mapping[str, int]) -> tuple[MoneyMove, ...]:
    """Parts by member, as a fact says them."""
    return tuple(MoneyMove(member=name, amount_stroops=part) for name, part in parts.items())
