"""The one validator: takes transactions, tells the time, closes ledgers.

Transactions that wait at the same moment go into one ledger. A ledger closes as soon as one waits;
there are no empty ledgers.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from stellar_sdk import (
    CreateAccount,
    Keypair,
    Transaction,
    TransactionEnvelope,
    xdr,
)

from devnet import ledger, results
from devnet.account import Account
from devnet.frame import Frame, decode_envelope, frame_of
from devnet.protocol import BASE_FEE_STROOPS, FRIENDBOT_STROOPS, Network
from devnet.results import TxCode
from devnet.store import Store, StoredTransaction
from devnet.validity import Moment, check_valid, minimum_fee

WAITING_COUNT_MAX: Final = 1_000
"""Most transactions that may wait for a ledger."""

LATEST_UNIX_SECONDS: Final = 253_370_764_800
"""The beginning of the year 9999; what RFC 3339 can name after it is room for more ledgers."""

_LOG: Final = logging.getLogger("devnet")


class TryAgainLater(Exception):
    """The queue has no place for this transaction now; the same bytes may be sent again."""


class TimeRunsBackwards(Exception):
    """The played time may not go back."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A transaction that is in no ledger; nothing was charged."""

    frame: Frame
    result: xdr.TransactionResult


@dataclass(frozen=True, slots=True)
class _Waiting:
    frame: Frame
    outcome: "asyncio.Future[StoredTransaction | Refused]"


class Node:
    """Queue, time and ledgers of the devnet. For one event loop."""

    def __init__(
        self, *, network: Network, store: Store, clock: Callable[[], int], played: bool
    ) -> None:
        self.network = network
        """Whose ledgers these are."""
        self.store = store
        """What was closed; reading it is free for all."""
        self.played = played
        """Whether time is set from outside instead of read from the clock."""
        self._clock = clock
        self._last = store.last()
        self._accounts = store.accounts()
        self._waiting: dict[bytes, _Waiting] = {}
        self._closing: asyncio.Task[None] | None = None
        self._friendbot = asyncio.Lock()

    @property
    def last(self) -> ledger.Closed:
        """The last closed ledger."""
        return self._last

    def account(self, key: bytes) -> Account | None:
        """Return an account as it is after the last ledger, or None."""
        return self._accounts.get(key)

    def next_close_time(self) -> int:
        """Return the close time a ledger would have now, Unix seconds.

        It is the present, and at least one second after the last ledger.
        """
        now = (self.store.played_time() or 0) if self.played else self._clock()
        return max(now, self._last.close_time + 1)

    def set_played_time(self, closed_at: int) -> None:
        """Set the time at which ledgers close from now on.

        Args:
            closed_at: Unix seconds, 0 to the beginning of the year 9999, and not before the time
                that was set last.

        Raises:
            TimeRunsBackwards: It is earlier than the time set last.
            ValueError: It is outside the range.
        """
        assert self.played, "the clock rules when time is not played"
        if not 0 <= closed_at <= LATEST_UNIX_SECONDS:
            raise ValueError("The time is outside the years 1970 to 9998.")
        if closed_at < (self.store.played_time() or 0):
            raise TimeRunsBackwards(closed_at)
        self.store.set_played_time(closed_at)

    async def submit(self, text: str) -> StoredTransaction | Refused:
        """Take a transaction and wait until it is in a ledger.

        The same bytes again have the same answer, before and after the ledger closed.

        Args:
            text: Base64 XDR of a `TransactionEnvelope`.

        Raises:
            EnvelopeMalformed: It cannot be decoded.
            TryAgainLater: Another transaction of the source waits, or too many wait.
        """
        return await self._submit(decode_envelope(text, self.network.network_id))

    async def fund(self, key: bytes) -> StoredTransaction | Refused:
        """Create an account with 10 000 XLM from the root account.

        Args:
            key: The new account's raw Ed25519 key, 32 bytes.

        Raises:
            TryAgainLater: The root account is busy with somebody else's transaction.
        """
        async with self._friendbot:
            root = self._accounts[self.network.root.raw_public_key()]
            amount = f"{FRIENDBOT_STROOPS // 10**7}"
            address = Keypair.from_raw_ed25519_public_key(key).public_key
            transaction = Transaction(
                source=self.network.root,
                sequence=root.sequence + 1,
                fee=BASE_FEE_STROOPS,
                operations=[CreateAccount(destination=address, starting_balance=amount)],
            )
            envelope = TransactionEnvelope(transaction, self.network.passphrase)
            envelope.sign(self.network.root)
            frame = frame_of(envelope.to_xdr_object(), self.network.network_id)
            return await self._submit(frame)

    async def stop(self) -> None:
        """Wait for a ledger that is being closed."""
        if self._closing is not None:
            await self._closing

    async def _submit(self, frame: Frame) -> StoredTransaction | Refused:
        stored = self.store.transaction(frame.hash)
        if stored is not None:
            return stored
        waiting = self._admit(frame)
        if isinstance(waiting, Refused):
            return waiting
        if self._closing is None:
            self._closing = asyncio.create_task(self._close_all())
        return await asyncio.shield(waiting.outcome)

    def _admit(self, frame: Frame) -> _Waiting | Refused:
        """Find or give a place in the queue.

        Source:
            stellar-core, TransactionQueue: one waiting transaction per source account. The same
            one is a duplicate, a lower sequence number is bad, any other has to try again.
        """
        other = None if frame.transaction is None else self._waiting.get(frame.source)
        if other is not None and other.frame.hash == frame.hash:
            return other
        if other is not None and frame.sequence < other.frame.sequence:
            return Refused(frame, results.refused(TxCode.txBAD_SEQ, minimum_fee(frame)))
        if other is not None:
            raise TryAgainLater("Another transaction of this source account is waiting.")
        if len(self._waiting) >= WAITING_COUNT_MAX:
            raise TryAgainLater("Too many transactions are waiting.")
        error = check_valid(frame, self._accounts, self._moment())
        if error is not None:
            return Refused(frame, error)
        outcome = asyncio.get_running_loop().create_future()
        waiting = _Waiting(frame, outcome)
        self._waiting[frame.source] = waiting
        return waiting

    def _moment(self) -> Moment:
        return Moment(self._last.sequence + 1, self.next_close_time())

    async def _close_all(self) -> None:
        """Close ledgers until nothing waits."""
        while self._waiting:
            await asyncio.sleep(0)  # lets requests that are already here come along
            batch = list(self._waiting.values())
            try:
                self._close(batch)
            except Exception as error:  # noqa: BLE001 - a disk error must reach those who wait
                _LOG.exception("devnet.close_failed")
                for each in batch:
                    if not each.outcome.done():
                        each.outcome.set_exception(error)
            for each in batch:
                del self._waiting[each.frame.source]
        self._closing = None

    def _close(self, batch: list[_Waiting]) -> None:
        """Close one ledger with what is still valid, keep it, and answer."""
        moment = self._moment()
        frames = []
        for each in batch:
            error = check_valid(each.frame, self._accounts, moment)
            if error is None:
                frames.append(each.frame)
            else:
                each.outcome.set_result(Refused(each.frame, error))
        if not frames:
            return
        closing = ledger.close(self.network, self._last, self._accounts, frames, moment.close_time)
        self.store.add(closing)
        self._last = closing.closed
        self._accounts.update((account.key, account) for account in closing.changed)
        for each in batch:
            if not each.outcome.done():
                stored = self.store.transaction(each.frame.hash)
                assert stored is not None, "it was just kept"
                each.outcome.set_result(stored)
