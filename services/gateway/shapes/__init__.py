"""What the API answers: one model per thing, integers with their unit in the name.

Beside every integer for machines stands a decimal text for people. Instants are UTC.
"""

from services.gateway.shapes.base import Page, Shape
from services.gateway.shapes.community import (
    Anchor,
    Clock,
    FactoryProfile,
    HealthAnswer,
    Member,
    StreamClock,
    StreamPosition,
)
from services.gateway.shapes.energy import Energy, EnergyDay, Meter, Reading, Refusal, Register
from services.gateway.shapes.money import (
    Arithmetic,
    Holder,
    HoldingTitle,
    Invoice,
    InvoiceDetail,
    Line,
    Ownership,
    Payment,
    Price,
    ReadingsUsed,
)

__all__ = [
    "Anchor",
    "Arithmetic",
    "Clock",
    "Energy",
    "EnergyDay",
    "FactoryProfile",
    "HealthAnswer",
    "Holder",
    "HoldingTitle",
    "Invoice",
    "InvoiceDetail",
    "Line",
    "Member",
    "Meter",
    "Ownership",
    "Page",
    "Payment",
    "Price",
    "Reading",
    "ReadingsUsed",
    "Refusal",
    "Register",
    "Shape",
    "StreamClock",
    "StreamPosition",
]
