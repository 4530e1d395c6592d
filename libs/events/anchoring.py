"""Facts of the anchor: one round commits the heads of all logs to Stellar."""

from typing import Annotated

from pydantic import StringConstraints

from libs.events.fact import Fact, fact
from libs.events.ids import Address, HashHex
from libs.events.quantities import Instant, Ordinal
from libs.events.subjects import ANCHORS

Base64Text = Annotated[
    str, StringConstraints(strict=True, max_length=200_000, pattern=r"^[A-Za-z0-9+/]+={0,2}$")
]
"""XDR in base64, as Stellar's tools write it."""


SequenceText = Annotated[str, StringConstraints(strict=True, pattern=r"^[1-9][0-9]{0,18}$")]
"""Sequence number of a Stellar account, as decimal text: ledger x 2^32, so beyond 2^53 - 1."""


@fact("AnchorPrepared", 1, ANCHORS)
class AnchorPrepared(Fact):
    """The transaction of a round was signed. From now on only these very bytes are sent."""

    round: Ordinal
    """Number of the round, from 1."""
    round_text: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=65_536)]
    """The signed checkpoints of all logs, in order of their origin."""
    round_sha256: HashHex
    """SHA-256 of `round_text`: the memo of the transaction."""
    account: Address
    """The anchor's account: source and destination of the payment of 1 stroop."""
    network: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200)]
    """Passphrase of the network."""
    account_sequence: SequenceText
    """Sequence number that the transaction uses."""
    envelope_xdr: Base64Text
    """The signed transaction envelope."""
    transaction_hash: HashHex
    """Its hash under the network's passphrase."""
    valid_until: Instant
    """Upper time bound of the transaction."""


@fact("HeadAnchored", 1, ANCHORS)
class HeadAnchored(Fact):
    """The transaction of a round stands in a closed ledger; here is the evidence."""

    round: Ordinal
    """Number of the round."""
    transaction_hash: HashHex
    """Hash of the transaction."""
    ledger: Ordinal
    """Sequence of the ledger that holds it."""
    closed_at: Instant
    """Close time of that ledger."""
    result_set_xdr: Base64Text
    """The ledger's `TransactionResultSet`: names the transaction and its success."""
    header_xdr: Base64Text
    """The ledger's `LedgerHeader`: its hash is the ledger's hash."""


@fact("AnchorFailed", 1, ANCHORS)
class AnchorFailed(Fact):
    """The transaction of a round can never succeed any more; the next round covers its heads."""

    round: Ordinal
    """Number of the round."""
    transaction_hash: HashHex
    """Hash of the transaction."""
    reason: Annotated[str, StringConstraints(strict=True, max_length=500)]
    """Result code, or `expired`."""
