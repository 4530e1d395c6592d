"""Answers about energy: readings, meters, refusals, days."""

from datetime import date, datetime
from typing import Literal

from pydantic import Field

from services.gateway.shapes.base import Shape


class Register(Shape):
    """One cumulative register over a report."""

    name: Literal["generated", "consumed", "imported", "exported"]
    """Which register."""
    total_wh: int = Field(examples=[400])
    """Energy over all intervals of the report, in Wh."""
    total_kwh: str = Field(examples=["0.400"])
    """The same in kWh."""
    differences_wh: list[int] = Field(examples=[[100, 100, 100, 100]])
    """Energy in each interval, in Wh, oldest first."""
    after_wh: int
    """The register after the last interval, in Wh."""


class Reading(Shape):
    """An accepted report of a meter."""

    stream: str = Field(examples=["READINGS_0"])
    """Stream in which the fact stands."""
    sequence: int = Field(examples=[17])
    """Its position there."""
    meter: str = Field(examples=["pv-1"])
    """The meter."""
    seq: int
    """The meter's own number of the report."""
    epoch: int
    """Register epoch."""
    first_interval_at: datetime
    """Start of the first interval."""
    until_at: datetime
    """End of the last interval, not included."""
    interval_s: int = Field(examples=[900])
    """Length of every interval, in seconds."""
    registers: list[Register]
    """The registers that the meter has."""


class Meter(Shape):
    """An enrolled meter."""

    meter: str = Field(examples=["pv-1"])
    """The meter."""
    role: str = Field(examples=["generation"])
    """`generation`, `consumption` or `grid`."""
    system: str
    """The system at which it stands."""
    holding: str | None
    """The holding whose consumption it measures."""
    site: str
    """The site."""
    nameplate_w: int
    """Most power that it can measure, in W."""
    nameplate_kw: str
    """The same in kW."""
    address: str
    """Stellar address of the key that signs its reports."""
    enrolled_at: datetime
    """Domain time of its enrolment."""
    last_until_at: datetime | None
    """End of its newest interval; null before its first report."""
    stream: str
    """Stream of the enrolment."""
    sequence: int
    """Its position there."""


class Refusal(Shape):
    """A report that was refused."""

    kind: Literal["fact", "message"]
    """`fact`: rightly signed, of an enrolled meter; `message`: anything else that came in."""
    reason: str = Field(examples=["overlap"])
    """Code of the rule."""
    detail: str
    """The rule in words."""
    meter: str
    """The meter, as far as it was known."""
    seq: int | None
    """The meter's number of the report."""
    sha256: str
    """Hash of the message."""
    first_256_bytes: str | None
    """Its first bytes in base64; only of messages."""
    count: int
    """How many refusals this one stands for."""
    refused_at: datetime | None
    """Domain time; messages have none."""
    stream: str
    """Where it stands."""
    sequence: int
    """Its position there."""


class EnergyDay(Shape):
    """One local day of a system."""

    day: date
    """The day in the site's time zone."""
    generated_wh: int | None
    """Generated, in Wh; null: no reading."""
    generated_kwh: str | None
    """The same in kWh."""
    consumed_wh: int | None
    """Consumed by all holdings, in Wh; null: no reading."""
    consumed_kwh: str | None
    """The same in kWh."""
    used_wh: int | None
    """Generated and used at the site, in Wh; null where one side is not known."""
    used_kwh: str | None
    """The same in kWh."""


class Energy(Shape):
    """Energy of a system per local day."""

    system: str | None
    """The system; null while there is none."""
    time_zone: str
    """The time zone of the days."""
    state: Literal["known", "pending"]
    """`pending`: the system's proposal is not projected, days are UTC."""
    rating_s: int
    """Intervals of this length were compared for `used_wh`, in seconds."""
    days: list[EnergyDay]
    """Days with readings, oldest first; missing days have none."""
