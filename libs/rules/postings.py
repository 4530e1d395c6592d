"""Postings: what every fact does to the accounts, a pure function of the fact.

Four kinds of asset, each balancing alone: `U` money, `C` claims, `T` title per system, `W` energy
per book. A posting debits one account and credits another with the same amount. An account belongs
to the debit or to the credit side (its normal side) and never crosses zero.

Facts of billing post too: an invoice is a claim the moment it is issued.

Source: domain rules, sections 10 and 11; docs/decisions/0001 has the account map.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from libs.events.fact import Fact
from libs.events.invoicing import InvoiceIssued
from libs.rules.dumps import Dumped, Loaded
from libs.rules.posting import Posting
from libs.rules.repayment_postings import REPAYMENT_RULES
from libs.rules.supply_postings import SUPPLY_RULES
from libs.rules.system_postings import SYSTEM_RULES
from libs.rules.trade_postings import TRADE_RULES

DEBIT_ACCOUNTS = frozenset(
    {"custody", "issuer", "due", "return_due", "overbilled", "grid_due", "owed_by", "issued"}
    | {"shortfall", "received"}
)
"""First words of the accounts whose normal side is debit; all others are credit accounts."""

_TITLE: Final = "T:"


def _invoice_issued(fact: InvoiceIssued) -> Iterable[Posting]:
    for line in fact.lines:
        if line.amount_stroops:
            yield Posting(
                f"C:{fact.asset}",
                f"due:{fact.agreement}",
                f"billed:{fact.agreement}:{line.line_class}",
                line.amount_stroops,
            )


_RULES: Mapping[type[Fact], Callable[[Any], Iterable[Posting]]] = {
    InvoiceIssued: _invoice_issued,
    **SYSTEM_RULES,
    **REPAYMENT_RULES,
    **SUPPLY_RULES,
    **TRADE_RULES,
}


def postings(fact: Fact) -> tuple[Posting, ...]:
    """The postings of a fact, in order; none for a fact that moves nothing."""
    rule = _RULES.get(type(fact))
    return tuple(rule(fact)) if rule else ()


def is_debit_account(account: str) -> bool:
    """Tell whether an account's normal side is debit."""
    return account.partition(":")[0] in DEBIT_ACCOUNTS


class Books:
    """Balances of all accounts: a fold of postings, with the laws checked at every step."""

    def __init__(self) -> None:
        self._balances: dict[tuple[str, str], int] = {}
        # Where title stands: to split by title, nobody looks through the whole book.
        self._titles: dict[str, set[str]] = defaultdict(set)

    def balance(self, asset: str, account: str) -> int:
        """Balance of an account on its normal side, at least zero."""
        return self._balances.get((asset, account), 0)

    def accounts(self, asset: str, prefix: str) -> dict[str, int]:
        """Balances of the accounts of an asset whose name begins with `prefix`, above zero.

        Those of a title are at hand, in the order of their names; for any other asset the whole
        book is looked through.
        """
        if asset.startswith(_TITLE):
            names = sorted(self._titles.get(asset, ()))
            return {name: self._balances[asset, name] for name in names if name.startswith(prefix)}
        return {
            account: amount
            for (of_asset, account), amount in self._balances.items()
            if of_asset == asset and account.startswith(prefix)
        }

    def post(self, entries: Iterable[Posting]) -> None:
        """Apply the entries of one fact.

        Raises:
            ValueError: An amount is not above zero, or an account crosses its normal side after
                all entries: a law is broken, and the caller stops.
        """
        touched: dict[tuple[str, str], int] = {}
        balances = self._balances
        for asset, debit, credit, amount in entries:
            if amount <= 0:
                raise ValueError(f"posting of {amount} on {debit}")
            for account, debited in ((debit, amount), (credit, -amount)):
                place = (asset, account)
                before = touched[place] if place in touched else balances.get(place, 0)
                touched[place] = before + (debited if is_debit_account(account) else -debited)
        for (asset, account), amount in touched.items():
            if amount < 0:
                raise ValueError(f"{account} would stand at {amount} of {asset}")
        for place, amount in touched.items():
            if amount:
                balances[place] = amount
            else:  # An empty account is as one that never was: the state does not grow for ever.
                balances.pop(place, None)
            if place[0].startswith(_TITLE):
                self._note_title(*place, is_empty=not amount)

    def _note_title(self, asset: str, account: str, *, is_empty: bool) -> None:
        if is_empty:
            self._titles[asset].discard(account)
        else:
            self._titles[asset].add(account)

    def dump(self) -> Dumped:
        """Give every balance above zero, for a snapshot."""
        balances = dict(self._balances)
        return {"balances": ([*place, amount] for place, amount in balances.items())}

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        for asset, name, amount in dumped["balances"]:
            self._balances[asset, name] = amount
            if asset.startswith(_TITLE):
                self._note_title(asset, name, is_empty=False)

    def totals(self) -> dict[str, tuple[int, int]]:
        """Sum of debit and of credit balances per asset; the two are equal, always."""
        sums: dict[str, tuple[int, int]] = {}
        for (asset, account), amount in self._balances.items():
            debits, credits_ = sums.get(asset, (0, 0))
            is_debit = is_debit_account(account)
            sums[asset] = (debits + amount * is_debit, credits_ + amount * (not is_debit))
        return sums
