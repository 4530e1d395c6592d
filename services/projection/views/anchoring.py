"""Rows of the anchor. Pure."""

from collections.abc import Iterator

from libs.events import AnchorFailed, AnchorPrepared, HeadAnchored, Recorded
from services.projection.table import Table, Values
from services.projection.tables import ANCHOR_CONFIRMED, ANCHOR_FAILED, ANCHOR_PREPARED
from services.projection.views.text import plain


def anchor_prepared(recorded: Recorded[AnchorPrepared]) -> Iterator[tuple[Table, Values]]:
    """One row per signed transaction."""
    fact, envelope = recorded.fact, recorded.envelope
    yield (
        ANCHOR_PREPARED,
        (
            recorded.stream,
            recorded.sequence,
            envelope.key,
            fact.round,
            plain(fact.round_text),
            fact.round_sha256,
            fact.account,
            plain(fact.network),
            fact.account_sequence,
            fact.transaction_hash,
            fact.valid_until,
            envelope.time,
        ),
    )


def head_anchored(recorded: Recorded[HeadAnchored]) -> Iterator[tuple[Table, Values]]:
    """One row per transaction that stands in a closed ledger."""
    fact = recorded.fact
    what = (recorded.envelope.key, fact.round, fact.transaction_hash, fact.ledger, fact.closed_at)
    yield ANCHOR_CONFIRMED, (recorded.stream, recorded.sequence, *what)


def anchor_failed(recorded: Recorded[AnchorFailed]) -> Iterator[tuple[Table, Values]]:
    """One row per transaction that can never succeed any more."""
    fact, envelope = recorded.fact, recorded.envelope
    what = (envelope.key, fact.round, fact.transaction_hash, plain(fact.reason), envelope.time)
    yield ANCHOR_FAILED, (recorded.stream, recorded.sequence, *what)
