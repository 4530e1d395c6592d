"""Postings: what every fact does to the accounts, a pure function of the fact.

Four kinds of asset, each balancing alone: `U` money, `C` claims, `T` title per system, `W` energy
per book. A posting debits one account and credits another with the same amount. An account belongs
to the debit or to the credit side (its normal side) and never crosses zero.

Facts of billing post too: an invoice is a claim the moment it is issued.

Source: domain rules, sections 10 and 11; docs/decisions/0001 has the account map.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from libs.events.books import (
    FundsDeposited,
    InvestmentMade,
    OwnershipTransferred,
    PaymentSettled,
    RaiseAccepted,
    SystemApproved,
)
from libs.events.fact import Fact
from libs.events.invoicing import InvoiceIssued
from libs.rules.dumps import Dumped, Loaded
from libs.rules.posting import Posting
from libs.rules.trade_postings import TRADE_RULES

DEBIT_ACCOUNTS = frozenset(
    {"custody", "issuer", "due", "return_due", "overbilled", "grid_due", "owed_by", "issued"}
    | {"shortfall", "received"}
)
"""First words of the accounts whose normal side is debit; all others are credit accounts."""


def _funds_deposited(fact: FundsDeposited) -> Iterable[Posting]:
    money = f"U:{fact.asset}"
    yield Posting(money, f"issuer:{fact.asset}", f"wallet:{fact.member}", fact.amount_stroops)


def _system_approved(fact: SystemApproved) -> Iterable[Posting]:
    yield Posting(
        f"T:{fact.system}", f"issued:{fact.system}", f"approver:{fact.system}", fact.shares
    )


def _investment_made(fact: InvestmentMade) -> Iterable[Posting]:
    amount, place = fact.amount_stroops, f"{fact.system}:{fact.investor}"
    yield Posting(f"U:{fact.asset}", f"wallet:{fact.investor}", f"escrow:{place}", amount)
    yield Posting(f"T:{fact.system}", f"approver:{fact.system}", f"reserved:{place}", amount)


def _raise_accepted(fact: RaiseAccepted) -> Iterable[Posting]:
    for move in fact.moves:
        place = f"{fact.system}:{move.member}"
        yield Posting(f"U:{fact.asset}", f"escrow:{place}", f"build:{fact.system}", move.shares)
        yield Posting(f"T:{fact.system}", f"reserved:{place}", f"title:{place}", move.shares)


def _invoice_issued(fact: InvoiceIssued) -> Iterable[Posting]:
    for line in fact.lines:
        if line.amount_stroops:
            yield Posting(
                f"C:{fact.asset}",
                f"due:{fact.agreement}",
                f"billed:{fact.agreement}:{line.line_class}",
                line.amount_stroops,
            )


def _payment_settled(fact: PaymentSettled) -> Iterable[Posting]:
    money, claims = f"U:{fact.asset}", f"C:{fact.asset}"
    agreement, credit = fact.agreement, f"credit:{fact.agreement}"
    yield Posting(money, f"wallet:{fact.payer}", credit, fact.amount_stroops)
    for part in fact.cleared:
        billed = f"billed:{agreement}:{part.line_class}"
        yield Posting(claims, billed, f"due:{agreement}", part.amount_stroops)
    for move in fact.returns:
        owed, wallet = f"return_to:{agreement}:{move.member}", f"wallet:{move.member}"
        yield Posting(claims, owed, f"return_due:{agreement}", move.amount_stroops)
        yield Posting(money, credit, wallet, move.amount_stroops)
    for move in fact.principal:
        yield Posting(money, credit, f"wallet:{move.member}", move.amount_stroops)


def _ownership_transferred(fact: OwnershipTransferred) -> Iterable[Posting]:
    for move in fact.moves:
        title = f"title:{fact.system}:{move.member}"
        yield Posting(f"T:{fact.system}", title, f"own:{fact.agreement}", move.shares)


_RULES: Mapping[type[Fact], Callable[[Any], Iterable[Posting]]] = {
    FundsDeposited: _funds_deposited,
    SystemApproved: _system_approved,
    InvestmentMade: _investment_made,
    RaiseAccepted: _raise_accepted,
    InvoiceIssued: _invoice_issued,
    PaymentSettled: _payment_settled,
    OwnershipTransferred: _ownership_transferred,
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

    def balance(self, asset: str, account: str) -> int:
        """Balance of an account on its normal side, at least zero."""
        return self._balances.get((asset, account), 0)

    def accounts(self, asset: str, prefix: str) -> dict[str, int]:
        """Balances of the accounts of an asset whose name begins with `prefix`, above zero."""
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

    def dump(self) -> Dumped:
        """Give every balance above zero, for a snapshot."""
        balances = dict(self._balances)
        return {"balances": ([*place, amount] for place, amount in balances.items())}

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        self._balances.update({(asset, name): n for asset, name, n in dumped["balances"]})

    def totals(self) -> dict[str, tuple[int, int]]:
        """Sum of debit and of credit balances per asset; the two are equal, always."""
        sums: dict[str, tuple[int, int]] = {}
        for (asset, account), amount in self._balances.items():
            debits, credits_ = sums.get(asset, (0, 0))
            is_debit = is_debit_account(account)
            sums[asset] = (debits + amount * is_debit, credits_ + amount * (not is_debit))
        return sums
