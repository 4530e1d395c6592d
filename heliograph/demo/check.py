"""Recomputes every figure of a play a second way and compares.

This is a model of its own: it reads the stored bytes as plain JSON and adds up with plain sums. It
uses neither the rules of the services nor their tables, on purpose; so it can disagree with them.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from libs.eventstore import Stored

RATING_S = 900


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the report, found in several ways."""

    name: str
    """What it is."""
    values: Mapping[str, str]
    """The figure by the way in which it was found; all must agree."""

    @property
    def agrees(self) -> bool:
        """Tell whether all ways found the same."""
        return len(set(self.values.values())) == 1


@dataclass(slots=True)
class Ledgers:
    """What the streams say, as plain JSON."""

    facts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """The documents of each stream, in order."""

    @classmethod
    def read(cls, streams: Mapping[str, Sequence[Stored]]) -> "Ledgers":
        """Take the stored messages of all streams."""
        return cls(
            {name: [json.loads(each.data) for each in rows] for name, rows in streams.items()}
        )

    def of(self, name: str) -> list[dict[str, Any]]:
        """Every document of one name, over all streams."""
        return [
            fact
            for facts in self.facts.values()
            for fact in facts
            if fact["type"].split(".")[1] == name
        ]

    def named(self, name: str) -> list[dict[str, Any]]:
        """The data of every fact of one name, over all streams."""
        return [fact["data"] for fact in self.of(name)]

    def faults(self) -> list[str]:
        """What is wrong with the streams themselves: ids that repeat, numbers with gaps."""
        found = []
        for stream, facts in self.facts.items():
            ids = [fact["id"] for fact in facts]
            if len(set(ids)) != len(ids):
                found.append(f"{stream}: an id stands twice")
            numbers: dict[str, int] = defaultdict(int)
            for fact in facts:
                numbers[fact["key"]] += 1
                if fact["n"] != numbers[fact["key"]]:
                    found.append(f"{stream}: {fact['key']} has a gap at n = {fact['n']}")
        return found


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@dataclass(slots=True)
class Energy:
    """Energy of the play, summed from the readings."""

    generated_wh: int = 0
    draw_wh: int = 0
    consumed_wh: int = 0
    own_use_wh: int = 0
    own_use_by_month: dict[str, int] = field(default_factory=dict)


def energy_of(ledgers: Ledgers, generation_meter: str, load_meter: str, time_zone: str) -> Energy:
    """Sum the readings of the two meters, interval by interval."""
    by_start: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    energy = Energy()
    lengths: dict[str, int] = {}
    for reading in ledgers.named("ReadingRecorded"):
        start, step = _seconds(reading["first_interval_at"]), reading["interval_s"]
        lengths[reading["meter"]] = step
        for register in reading["registers"]:
            total = sum(register["differences_wh"])
            if reading["meter"] == load_meter:
                energy.consumed_wh += total
            elif register["name"] == "generated":
                energy.generated_wh += total
            else:
                energy.draw_wh += total
                continue
            for index, value in enumerate(register["differences_wh"]):
                place = (start + index * step) // RATING_S * RATING_S
                by_start[reading["meter"]][place].append(value)
    zone = ZoneInfo(time_zone)
    months: dict[str, int] = defaultdict(int)
    for place, parts in by_start[generation_meter].items():
        load = by_start[load_meter].get(place, [])
        whole = len(parts) * lengths[generation_meter] == RATING_S
        if whole and len(load) * lengths.get(load_meter, 0) == RATING_S:
            own = min(sum(parts), sum(load))
            energy.own_use_wh += own
            months[datetime.fromtimestamp(place, tz=zone).strftime("%Y-%m")] += own
    energy.own_use_by_month = dict(months)
    return energy


def report_digests(ledgers: Ledgers) -> dict[str, str]:
    """SHA-256 per meter over the accepted reports (JWS bytes) in order of `seq`."""
    reports: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for reading in ledgers.named("ReadingRecorded"):
        reports[reading["meter"]].append((reading["seq"], reading["report"]))
    return {
        meter: hashlib.sha256("".join(text for _, text in sorted(rows)).encode()).hexdigest()
        for meter, rows in sorted(reports.items())
    }


def invoices_of(ledgers: Ledgers) -> list[dict[str, Any]]:
    """Numbers, amounts and lines of all invoices: what two plays must have in common."""
    return [
        {
            "number": each["number"],
            "invoice": each["invoice"],
            "total_stroops": each["total_stroops"],
            "rated_intervals": each["rated_intervals"],
            "unrated_intervals": each["unrated_intervals"],
            "lines": [
                {
                    "energy_wh": line["energy_wh"],
                    "price_stroops_per_kwh": line["price_stroops_per_kwh"],
                    "amount_stroops": line["amount_stroops"],
                }
                for line in each["lines"]
            ],
        }
        for each in ledgers.named("InvoiceIssued")
    ]


def title_of(ledgers: Ledgers) -> dict[str, int]:
    """Shares of title per member: what was invested, less and plus what moved since."""
    title: dict[str, int] = defaultdict(int)
    for accepted in ledgers.named("RaiseAccepted"):
        for move in accepted["moves"]:
            title[move["member"]] += move["shares"]
    for moved in ledgers.named("OwnershipTransferred"):
        for move in moved["moves"]:
            title[move["member"]] -= move["shares"]
            title[moved["to_member"]] += move["shares"]
    return {member: shares for member, shares in sorted(title.items()) if shares}


def billed_by_hand(energy: Energy, price_stroops_per_kwh: int) -> list[int]:
    """What each month's bill must be: own use x price, half to even, by plain arithmetic."""
    amounts = []
    for _, wh in sorted(energy.own_use_by_month.items()):
        whole, rest = divmod(wh * price_stroops_per_kwh, 1000)
        round_up = rest > 500 or (rest == 500 and whole % 2 == 1)  # noqa: PLR2004
        amounts.append(whole + round_up)
    return amounts


def total(rows: Iterable[Mapping[str, Any]], name: str) -> int:
    """Sum one field."""
    return sum(row[name] for row in rows)
