"""Given / when / then for reports: meters that really sign, and rules that really record."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.metering import MeterEnrolled, MeterHead, RegisterValue
from libs.events.quantities import format_instant
from libs.rules.authority import Authority
from services.ingest.domain import Ingest, Outcome, Verdict
from services.ingest.past import Past, digest_of
from services.ingest.reports import open_report
from tests.histories import ANY_COMMAND_SIGNED, DEPLOYMENT, History, key_of

START = datetime(2026, 6, 1, tzinfo=UTC)
STEP_S = 900


def at(intervals: float) -> datetime:
    """So many quarters of an hour after the start."""
    return START + timedelta(seconds=STEP_S * intervals)


def payload(seq: int, first: int, *differences: int, start: int = 0, **more: Any) -> dict[str, Any]:
    """A report of a consumption meter: its intervals begin `first` quarters after the start."""
    values: dict[str, Any] = {
        "deployment": DEPLOYMENT,
        "meter": "home-1",
        "seq": seq,
        "epoch": 1,
        "first_interval_at": format_instant(at(first)),
        "interval_s": STEP_S,
        "registers": [
            {
                "name": "consumed",
                "differences_wh": list(differences),
                "after_wh": start + sum(differences),
            }
        ],
    }
    return {name: value for name, value in (values | more).items() if value is not None}


def sign(document: Mapping[str, Any], key: str = "teller") -> bytes:
    return key_of(key).sign("hg-report+jws", json.dumps(document).encode()).encode()


class Site:
    """Ingest's rules with one enrolled consumption meter, `home-1`, of 2,000 W."""

    def __init__(self, history: History | None = None) -> None:
        self.rules = Ingest(
            deployment=DEPLOYMENT,
            stream="READINGS_0",
            authority=Authority(deployment=DEPLOYMENT, service="ingest", book="0"),
        )
        self.history = history or History()
        if history is None:
            self.enrol("home-1")
            self.advance(at(0))

    def enrol(self, meter: str, **more: Any) -> None:
        values: dict[str, Any] = {
            "meter": meter,
            "address": key_of("teller").address,
            "role": "consumption",
            "system": "sunrise",
            "holding": "home",
            "site": "rooftop",
            "nameplate_w": 2_000,
            "starts": (RegisterValue(name="consumed", value_wh=0),),
            "command": ANY_COMMAND_SIGNED,
        }
        fact = MeterEnrolled.model_validate(values | more)
        self.rules.evolve(self.history.record("METERS_0", meter, fact, time=START))

    def advance(self, to: datetime, cadence_s: int = 86_400) -> list[Fact]:
        for recorded in self.history.advance(to, cadence_s=cadence_s):
            self.rules.evolve(recorded)
        return self.record(self.rules.due())

    def record(self, drafts: Sequence[Draft]) -> list[Fact]:
        made: list[Fact] = []
        for draft in drafts:
            recorded = self.history.record(
                "READINGS_0",
                draft.key,
                draft.fact,
                time=draft.time,
                fact_id=draft.id,
                cause=draft.cause or "- missing",
            )
            self.rules.evolve(recorded)
            made.append(recorded.fact)
        return made

    def send(
        self,
        document: Mapping[str, Any] | bytes,
        *,
        topic: str = "rooftop.home-1",
        looked_back: bool = False,
        hold: bool = False,
    ) -> Verdict:
        """Judge a report as the edge does, and record what follows."""
        data = document if isinstance(document, bytes) else sign(document)
        incoming = open_report(f"intake.0.{topic}", data)
        past = self.look_back() if looked_back else None
        verdict = self.rules.judge(incoming, looked_back=past, hold=hold)
        if verdict.draft is not None:
            self.record([verdict.draft])
        return verdict

    def look_back(self) -> Past:
        """What the edge reads from the stream."""
        past = Past()
        for recorded in self.own("ReadingRecorded"):
            fact: Any = recorded.fact
            past.keep(fact.meter, fact.seq, digest_of(fact.report), recorded.position)
        return past

    def own(self, name: str) -> list[Recorded[Fact]]:
        found = [each for each in self.history.facts if each.stream == "READINGS_0"]
        return [each for each in found if each.fact.fact_name == name]

    @property
    def head(self) -> MeterHead:
        head = self.rules.head("home-1")
        assert head is not None
        return head

    def restarted(self) -> "Site":
        """The same site after a restart: everything folded again from the streams."""
        site = Site(self.history)
        own = [each for each in self.history.facts if each.stream == "READINGS_0"]
        inputs = [each for each in self.history.facts if each.stream != "READINGS_0"]
        for recorded in (*own, *inputs):
            site.rules.evolve(recorded)
        return site


def accepted(verdict: Verdict) -> bool:
    return verdict.outcome is Outcome.ACCEPTED


def reason(verdict: Verdict) -> str | None:
    return None if verdict.breach is None else verdict.breach.reason
