"""The shared language of Heliograph: facts, quantities, ids, subjects, versions, signed messages.

Everything here is pure: no clock, no network, no randomness. Services meet in this package and on
the streams, and nowhere else.
"""

from libs.events.anchoring import AnchorFailed, AnchorPrepared, HeadAnchored
from libs.events.books import (
    Cleared,
    FundsDeposited,
    HoldingOpened,
    InvestmentMade,
    MoneyMove,
    OwnershipTransferred,
    PaymentSettled,
    RaiseAccepted,
    SystemApproved,
    SystemProposed,
    Terms,
    TitleMove,
)
from libs.events.envelope import Draft, Envelope, Recorded, decode, encode
from libs.events.errors import EventError, InvalidFact, InvalidSignature
from libs.events.fact import Fact
from libs.events.invoicing import (
    AgreementOpened,
    InvoiceIssued,
    InvoiceLine,
    InvoicePaid,
    MeterReadings,
)
from libs.events.membership import MemberRegistered
from libs.events.metering import (
    Intervals,
    MeterEnrolled,
    MeterGap,
    MeterHead,
    ReadingRecorded,
    ReadingRefused,
    RegisterDifferences,
    RegisterValue,
    Report,
)
from libs.events.positions import Position, parse_cause, parse_seen, write_cause, write_seen
from libs.events.pricing import TariffPublished
from libs.events.timekeeping import TimeAdvanced, TimeReached

__all__ = [
    "AgreementOpened",
    "AnchorFailed",
    "AnchorPrepared",
    "Cleared",
    "Draft",
    "Envelope",
    "EventError",
    "Fact",
    "FundsDeposited",
    "HeadAnchored",
    "HoldingOpened",
    "Intervals",
    "InvalidFact",
    "InvalidSignature",
    "InvestmentMade",
    "InvoiceIssued",
    "InvoiceLine",
    "InvoicePaid",
    "MemberRegistered",
    "MeterEnrolled",
    "MeterGap",
    "MeterHead",
    "MeterReadings",
    "MoneyMove",
    "OwnershipTransferred",
    "PaymentSettled",
    "Position",
    "RaiseAccepted",
    "ReadingRecorded",
    "ReadingRefused",
    "Recorded",
    "RegisterDifferences",
    "RegisterValue",
    "Report",
    "SystemApproved",
    "SystemProposed",
    "TariffPublished",
    "Terms",
    "TimeAdvanced",
    "TimeReached",
    "TitleMove",
    "decode",
    "encode",
    "parse_cause",
    "parse_seen",
    "write_cause",
    "write_seen",
]
