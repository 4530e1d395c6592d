"""A ledger that does as it is told: played network for the anchor's tests."""

from dataclasses import dataclass, field

from stellar_sdk import TransactionEnvelope, xdr

from devnet.frame import frame_of
from devnet.records import as_base64
from libs.stellar.encoding import decode, transaction_hash
from libs.stellar.errors import (
    AccountMissing,
    EvidenceMissing,
    ResultCodes,
    StellarUnavailable,
    TransactionRefused,
)
from libs.stellar.gateway import (
    Confirmed,
    Fees,
    LatestLedger,
    LedgerEvidence,
    Submission,
    TransactionStatus,
    Unknown,
)
from tests.anchor.world import ACCOUNT
from tests.devnet.world import PASSPHRASE, World, create


@dataclass
class Ledger:
    """`LedgerGateway` over the devnet's pure ledger, with troubles on demand."""

    world: World = field(default_factory=World)
    exists: bool = True
    away: bool = False
    """Nobody answers."""
    refuse: str | None = None
    """The code with which submissions are refused."""
    lose_answer: bool = False
    """The next submission is taken, and its answer is lost."""
    hold: bool = False
    """Submissions are taken, but come into no ledger yet."""
    sequence_shift: int = 0
    """What somebody else used of the account's sequence numbers."""
    closed_at: int | None = None
    """Close time of the newest ledger, when another one closed since."""
    sent: list[str] = field(default_factory=list)
    done: dict[str, LedgerEvidence] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.exists:
            self.found()

    def found(self) -> None:
        """Create the anchor's account."""
        self.world.close(self.world.frame(self.world.network.root, create(ACCOUNT)), at=1)
        self.exists = True

    def _answer(self, what: str) -> None:
        self.asked.append(what)
        if self.away:
            raise StellarUnavailable("played: nobody answers")

    async def account_sequence(self, address: str) -> int:
        self._answer("sequence")
        if not self.exists:
            raise AccountMissing(address)
        assert address == ACCOUNT.public_key
        return self.world.account(ACCOUNT).sequence + self.sequence_shift

    async def submit(self, envelope_xdr: str) -> Submission:
        self._answer("submit")
        self.sent.append(envelope_xdr)
        envelope = decode(xdr.TransactionEnvelope, envelope_xdr)
        name = transaction_hash(envelope, PASSPHRASE).hex()
        if self.refuse is not None:
            raise TransactionRefused(ResultCodes(self.refuse), None)
        if name not in self.done and not self.hold:
            self._close(name, envelope_xdr)
        if self.lose_answer:
            self.lose_answer = False
            raise StellarUnavailable("played: the answer is lost")
        return Submission(name, None)

    def _close(self, name: str, envelope_xdr: str) -> None:
        envelope = TransactionEnvelope.from_xdr(envelope_xdr, PASSPHRASE)
        frame = frame_of(envelope.to_xdr_object(), self.world.network.network_id)
        closing = self.world.close(frame)
        self.done[name] = LedgerEvidence(
            ledger=closing.closed.sequence,
            envelope_xdr=envelope_xdr,
            result_set_xdr=as_base64(closing.result_set),
            header_xdr=closing.closed.header.to_xdr(),
            network_passphrase=PASSPHRASE,
        )

    async def status(self, tx_hash: str) -> TransactionStatus:
        self._answer("status")
        found = self.done.get(tx_hash)
        if found is None:
            return Unknown(tx_hash)
        return Confirmed(tx_hash, found.ledger, successful=True, result_xdr="", closed_at_unix=0)

    async def evidence(self, tx_hash: str) -> LedgerEvidence:
        self._answer("evidence")
        if tx_hash not in self.done:
            raise EvidenceMissing(tx_hash)
        return self.done[tx_hash]

    async def latest_ledger(self) -> LatestLedger:
        self._answer("latest")
        last = self.world.last
        return LatestLedger(last.sequence, self.closed_at or last.close_time)

    async def fees(self) -> Fees:
        self._answer("fees")
        return Fees(100, 250, 10_000)
