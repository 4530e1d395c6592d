"""Accounts of the second model: the map of the domain rules, section 11."""

from collections import Counter

DEBIT = (
    *("custody", "issuer", "issued", "shortfall", "due", "return_due", "overbilled"),
    *("grid_due", "owed_by", "received"),
)
"""Accounts whose normal side is debit; all others are credit."""


def is_debit(account: str) -> bool:
    return account.split(":", maxsplit=1)[0] in DEBIT


class Accounts:
    """Balances on the normal side, by asset and account; what is zero is not there."""

    def __init__(self) -> None:
        self.balances: dict[tuple[str, str], int] = {}

    def of(self, asset: str, account: str) -> int:
        return self.balances.get((asset, account), 0)

    def under(self, asset: str, prefix: str) -> dict[str, int]:
        """Balances of all accounts with a prefix, by the rest of their name."""
        return {
            name.removeprefix(prefix): amount
            for (of, name), amount in sorted(self.balances.items())
            if of == asset and name.startswith(prefix)
        }

    def post(self, asset: str, debit: str, credit: str, amount: int) -> None:
        """One posting: a debit account gains by a debit, a credit account by a credit."""
        assert amount >= 0, (asset, debit, credit, amount)
        for account, is_debited in ((debit, True), (credit, False)):
            change = amount if is_debit(account) == is_debited else -amount
            left = self.of(asset, account) + change
            assert left >= 0, f"{asset} {account} would cross its side: {left}"
            self.balances[asset, account] = left
            if not left:
                del self.balances[asset, account]

    def check(self) -> None:
        """Per asset, debits equal credits."""
        sums: Counter[str] = Counter()
        for (asset, account), amount in self.balances.items():
            sums[asset] += amount if is_debit(account) else -amount
        assert not any(sums.values()), sums
