"""How a round meets the ledger: what is asked, what is sent, and when a transaction is dead.

Only these rules decide that a transaction can never succeed any more, in this order:

1. its hash is in a ledger and it did not succeed;
2. a closed ledger is known whose close time is past its upper time bound, or its account's sequence
   number was used, and *after that was known* the hash is still in no ledger.

Everything else (no answer, busy, refused for now) means: send the same bytes again later.

Source: stellar.md, section 4.2, points 2 to 4.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from stellar_sdk import Keypair

from libs.events.anchoring import AnchorPrepared
from libs.stellar.anchoring import build_anchor_envelope
from libs.stellar.errors import AccountMissing, TransactionRefused
from libs.stellar.evidence import verify_anchor_evidence
from libs.stellar.gateway import Confirmed, LedgerGateway
from services.anchor.domain import Anchored, Failed, Plan, Transaction

VALID_FOR_S = 300
"""Seconds for which a round's transaction may enter a ledger."""

FEE_STROOPS_MIN = 100
"""Least that a transaction of one operation costs."""


TOO_LATE = "tx_too_late"
"""The network's word for a transaction whose time has passed."""


class Faucet(Protocol):
    """Where play money comes from; only on the devnet."""

    async def fund(self, address: str) -> None:
        """Create an account; nothing happens when it exists.

        Raises:
            StellarUnavailable: No answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Ground:
    """What must be known of the ledger before a round is signed."""

    account_sequence: int
    """Sequence number that the account used last."""
    fee_stroops: int
    """What is bid."""
    closed_at_unix: int
    """Close time of the newest ledger, Unix seconds."""


class LedgerWork:
    """Asks and sends, for one anchor account."""

    def __init__(
        self,
        *,
        gateway: LedgerGateway,
        account_seed: str,
        network: str,
        fee_stroops_max: int,
        faucet: Faucet | None,
    ) -> None:
        """Prepare.

        Args:
            gateway: The ledger.
            account_seed: Secret seed (`S...`) of the anchor's account.
            network: Passphrase of the network.
            fee_stroops_max: Highest bid, in stroops.
            faucet: Where a missing account gets its money; `None` on a public network.
        """
        self._gateway, self._seed, self._network = gateway, account_seed, network
        self._fee_stroops_max, self._faucet = fee_stroops_max, faucet
        self.account: str = Keypair.from_secret(account_seed).public_key
        """Address of the anchor's account."""

    async def survey(self) -> Ground:
        """Ask for what a round's transaction is built on.

        Raises:
            AccountMissing: The account does not exist and there is no faucet.
            StellarUnavailable: No answer.
        """
        try:
            sequence = await self._gateway.account_sequence(self.account)
        except AccountMissing:
            if self._faucet is None:
                raise
            await self._faucet.fund(self.account)
            sequence = await self._gateway.account_sequence(self.account)
        fees, latest = await self._gateway.fees(), await self._gateway.latest_ledger()
        bid = max(fees.p95_stroops, fees.base_stroops, FEE_STROOPS_MIN)
        return Ground(sequence, min(bid, self._fee_stroops_max), latest.closed_at_unix)

    def sign(self, plan: Plan, ground: Ground) -> Transaction:
        """Build and sign the transaction of a round: the same arguments give the same bytes."""
        begin = max(int(plan.time.timestamp()), ground.closed_at_unix)
        valid_until = begin + VALID_FOR_S
        built = build_anchor_envelope(
            source_seed=self._seed,
            sequence=ground.account_sequence + 1,
            memo_hash=plan.memo,
            max_time_unix=valid_until,
            network_passphrase=self._network,
            fee_stroops=ground.fee_stroops,
        )
        return Transaction(
            account=self.account,
            network=self._network,
            account_sequence=ground.account_sequence + 1,
            envelope_xdr=built.envelope_xdr,
            transaction_hash=built.tx_hash,
            valid_until=_instant(valid_until),
        )

    async def settle(self, prepared: AnchorPrepared) -> Anchored | Failed | None:
        """Bring a prepared transaction one step further: look, send, look again.

        Returns:
            How it ended, or nothing: call again later.

        Raises:
            StellarError: The ledger does not answer, or not sensibly; call again later.
        """
        end = await self._look(prepared)
        if end is not None:
            return end
        try:
            await self._gateway.submit(prepared.envelope_xdr)
        except TransactionRefused as error:
            refusal = error.result_codes.transaction
        else:
            return await self._look(prepared)
        if await self._is_dead(prepared, refusal):
            # Asked after the proof of death, so that no ledger in between is overlooked.
            reason = "expired" if refusal == TOO_LATE else refusal
            return await self._look(prepared) or Failed(reason)
        return None

    async def _look(self, prepared: AnchorPrepared) -> Anchored | Failed | None:
        """Look the transaction up by its hash; whatever is found is final."""
        status = await self._gateway.status(prepared.transaction_hash)
        if not isinstance(status, Confirmed):
            return None
        if not status.successful:
            return Failed("tx_failed")
        evidence = await self._gateway.evidence(prepared.transaction_hash)
        anchored = verify_anchor_evidence(
            memo_hash=bytes.fromhex(prepared.round_sha256),
            envelope_xdr=prepared.envelope_xdr,
            result_set_xdr=evidence.result_set_xdr,
            header_xdr=evidence.header_xdr,
            network_passphrase=prepared.network,
            anchor_account=prepared.account,
        )
        return Anchored(
            ledger=anchored.ledger,
            closed_at=_instant(anchored.closed_at_unix),
            result_set_xdr=evidence.result_set_xdr,
            header_xdr=evidence.header_xdr,
        )

    async def _is_dead(self, prepared: AnchorPrepared, refusal: str) -> bool:
        """Tell whether no future ledger can hold the transaction."""
        valid_until = int(prepared.valid_until.timestamp())
        latest = await self._gateway.latest_ledger()
        if latest.closed_at_unix > valid_until:
            return True
        try:
            used = await self._gateway.account_sequence(prepared.account)
            if used >= int(prepared.account_sequence):
                return True
        except AccountMissing:
            return False
        return refusal == TOO_LATE and await self._is_past(valid_until)

    async def _is_past(self, valid_until: int) -> bool:
        """On the devnet, which closes no empty ledgers: make one close, and look at its time."""
        if self._faucet is None:
            return False
        before = await self._gateway.latest_ledger()
        await self._faucet.fund(Keypair.random().public_key)
        latest = await self._gateway.latest_ledger()
        return latest.sequence > before.sequence and latest.closed_at_unix > valid_until


def _instant(unix: int) -> datetime:
    return datetime.fromtimestamp(unix, UTC)
