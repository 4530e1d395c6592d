"""Accounts with changes that may still be thrown away."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from devnet.account import Account, AccountsView


class Overlay(Mapping[bytes, Account]):
    """Changes on top of accounts; below stays as it is until `commit`.

    Overlays lie on each other: ledger, transaction, operation.
    """

    def __init__(self, below: AccountsView, *, ledger_sequence: int, close_time: int) -> None:
        self._below = below
        self._changed: dict[bytes, Account] = {}
        self.ledger_sequence = ledger_sequence
        """The ledger being closed."""
        self.close_time = close_time
        """Its close time, Unix seconds."""

    def __getitem__(self, key: bytes) -> Account:
        found = self._changed.get(key)
        return self._below[key] if found is None else found

    def __iter__(self) -> Iterator[bytes]:
        yield from self._below
        yield from (key for key in self._changed if key not in self._below)

    def __len__(self) -> int:
        return len(self._below) + sum(key not in self._below for key in self._changed)

    def put(self, account: Account) -> None:
        """Set an account, marked as modified in the ledger being closed."""
        marked = replace(account, modified_ledger=self.ledger_sequence)
        self._changed[account.key] = marked

    def child(self) -> "Overlay":
        """Return an overlay on top of this one."""
        return Overlay(self, ledger_sequence=self.ledger_sequence, close_time=self.close_time)

    def commit(self) -> None:
        """Hand the changes to the overlay below."""
        assert isinstance(self._below, Overlay), "the lowest overlay is read with `changed`"
        for account in self._changed.values():
            self._below.put(account)

    def changed(self) -> tuple[Account, ...]:
        """Return the changed accounts in the order of their keys."""
        return tuple(self._changed[key] for key in sorted(self._changed))
