"""The anchor's rules, given facts: which facts follow."""

from datetime import UTC, datetime, timedelta

import pytest
from nacl.signing import SigningKey

from libs.events import (
    AnchorFailed,
    AnchorPrepared,
    Draft,
    Fact,
    HeadAnchored,
    MemberRegistered,
    Recorded,
    TimeReached,
)
from libs.merkle import MerkleLog, leaf_hash
from libs.proof.rounds import round_sha256, split_round, verify_round, vkey_of
from libs.runtime.failures import BrokenLaw
from services.anchor.domain import Anchor, Anchored, Failed, Transaction
from services.anchor.logs import Logs
from tests.anchor.world import ACCOUNT, DAY, LOG_SEED, STREAMS, Pen, day, time_draft

PUBLIC_KEY = bytes(SigningKey(LOG_SEED).verify_key)


class Given:
    """An anchor that is fed by hand, as the writer would."""

    def __init__(self, interval_s: int = DAY) -> None:
        self.rules = Anchor(
            logs=Logs("demo", STREAMS), stream="ANCHORS", interval_s=interval_s, log_seed=LOG_SEED
        )
        self.pens = {stream: Pen(stream) for stream in STREAMS}
        self.facts: list[Recorded[Fact]] = []

    def record(self, stream: str, draft: Draft) -> Recorded[Fact]:
        recorded = self.pens[stream].record(draft)
        self.facts.append(recorded)
        self.rules.evolve(recorded)
        return recorded

    def time(self, to: datetime) -> "Given":
        self.record("PRICES", time_draft(to))
        return self

    def decided(self) -> list[Fact]:
        """Let everything happen that is due."""
        found = []
        while drafts := self.rules.due():
            found += [self.record("ANCHORS", draft).fact for draft in drafts]
        return found

    def prepare(self) -> AnchorPrepared:
        plan = self.rules.plan()
        assert plan is not None
        until = plan.time + timedelta(seconds=300)
        signed = Transaction(ACCOUNT.public_key, "net", plan.round, "QUFB", "ab" * 32, until)
        fact = self.record("ANCHORS", self.rules.prepared(plan, signed)).fact
        assert isinstance(fact, AnchorPrepared)
        return fact

    def anchor(self) -> HeadAnchored:
        prepared = self.prepare()
        end = Anchored(7, datetime(2016, 7, 2, 7, tzinfo=UTC), "QUFB", "QUJC")
        fact = self.record("ANCHORS", self.rules.conclude(prepared.round, end)).fact
        assert isinstance(fact, HeadAnchored)
        return fact

    def restarted(self) -> "Given":
        """Another anchor that folds the same facts as the writer does: the own ones first."""
        other = Given(self.rules._interval_s)
        order = sorted(self.facts, key=lambda each: each.stream != "ANCHORS")
        for each in order:
            other.rules.evolve(each)
        other.pens = self.pens
        other.facts = list(self.facts)
        return other


def member(name: str) -> Draft:
    fact = MemberRegistered(
        member=name, address=ACCOUNT.public_key, roles=("investor",), command="a.b.c"
    )
    return Draft(name, fact, f"x.{name}.member", day(0))


def test_nothing_without_time() -> None:
    given = Given()
    given.record("MEMBERS", member("anna"))
    assert given.rules.plan() is None
    assert given.decided() == []


def test_the_first_time_is_the_beginning_and_owes_no_round() -> None:
    given = Given().time(day(0))
    assert given.rules.plan() is None
    assert given.decided() == [TimeReached(to=day(0))]


def test_a_day_later_a_round_is_due_and_time_waits_for_it() -> None:
    given = Given().time(day(0))
    given.decided()
    given.time(day(1))
    assert given.decided() == []
    prepared = given.prepare()
    assert given.decided() == []
    assert given.rules.plan() is None, "one round at a time"
    end = Anchored(7, day(1), "QUFB", "QUJC")
    given.record("ANCHORS", given.rules.conclude(prepared.round, end))
    assert given.decided() == [TimeReached(to=day(1))]
    assert given.rules.plan() is None


def test_what_a_round_says() -> None:
    given = Given().time(day(0))
    given.decided()
    given.record("MEMBERS", member("anna"))
    given.record("MEMBERS", member("bert"))
    given.time(day(1))
    prepared = given.prepare()
    assert prepared.round == 1
    assert prepared.round_sha256 == round_sha256(prepared.round_text).hex()
    keys = {f"demo/{stream}": vkey_of("demo", stream, PUBLIC_KEY) for stream in STREAMS}
    heads = verify_round(prepared.round_text, keys)
    assert sorted(heads) == sorted(keys)
    members = MerkleLog(leaf_hash(f.data) for f in given.facts if f.stream == "MEMBERS")
    assert (heads["demo/MEMBERS"].size, heads["demo/MEMBERS"].root) == (2, members.root())
    assert heads["demo/ANCHORS"].size == 1, "its own facts, without this one"
    assert heads["demo/BILLING_pilot"].size == 0


def test_names_times_and_causes() -> None:
    given = Given().time(day(0))
    given.decided()
    given.time(day(1))
    given.anchor()
    given.decided()
    advanced, prepared, anchored, reached = given.facts[-4:]
    assert [each.envelope.id for each in (prepared, anchored, reached)] == [
        "round.1.prepared",
        "round.1.anchored",
        "time.2016-07-02T07:00:00Z",
    ]
    assert [each.envelope.key for each in (prepared, anchored)] == ["rounds", "rounds"]
    assert prepared.envelope.cause == f"{advanced.position} {advanced.envelope.id}"
    assert anchored.envelope.cause == f"{prepared.position} round.1.prepared"
    assert reached.envelope.cause == f"{advanced.position} {advanced.envelope.id}"
    assert {each.envelope.time for each in (prepared, anchored, reached)} == {day(1)}


def test_the_raster_counts_from_1970() -> None:
    """Rounds follow days of UTC, however often and unevenly time advances."""
    given = Given().time(datetime(2016, 7, 1, 22, tzinfo=UTC))
    given.decided()
    given.time(datetime(2016, 7, 1, 23, 59, 59, tzinfo=UTC))
    assert given.rules.plan() is None
    given.time(datetime(2016, 7, 2, tzinfo=UTC))
    given.anchor()
    given.decided()
    given.time(datetime(2016, 7, 2, 23, 59, 59, tzinfo=UTC))
    assert given.rules.plan() is None
    assert len(given.decided()) == 1


def test_time_that_ran_ahead_is_reached_in_two_steps() -> None:
    given = Given().time(day(0))
    given.decided()
    given.time(day(1))
    given.prepare()
    given.time(day(2)).time(day(3))
    assert given.decided() == []
    end = Anchored(7, day(1), "QUFB", "QUJC")
    given.record("ANCHORS", given.rules.conclude(1, end))
    assert given.decided() == [TimeReached(to=day(1))], "the round of day 1 is confirmed"
    given.anchor()
    assert given.decided() == [TimeReached(to=day(3))]


def test_a_failed_round_is_followed_by_another_over_more() -> None:
    given = Given().time(day(0))
    given.decided()
    given.time(day(1))
    first = given.prepare()
    given.record("ANCHORS", given.rules.conclude(1, Failed("expired")))
    assert given.facts[-1].fact == AnchorFailed(
        round=1, transaction_hash=first.transaction_hash, reason="expired"
    )
    assert given.decided() == [], "time still waits"
    second = given.prepare()
    assert second.round == 2
    assert second.round_text != first.round_text, "the failure stands in its own log"
    given.record("ANCHORS", given.rules.conclude(2, Anchored(7, day(1), "QUFB", "QUJC")))
    assert given.decided() == [TimeReached(to=day(1))]


@pytest.mark.parametrize("number", [0, 2])
def test_only_the_open_round_ends(number: int) -> None:
    given = Given().time(day(0)).time(day(1))
    given.prepare()
    with pytest.raises(BrokenLaw, match="round-not-open"):
        given.rules.conclude(number, Failed("expired"))


@pytest.mark.parametrize("cut", range(1, 14))
def test_a_restart_at_any_fact_goes_on_alike(cut: int) -> None:
    """The state is a fold: after every single fact another anchor knows the same."""
    given = Given().time(day(0))
    given.decided()
    given.time(day(1))
    given.anchor()
    given.decided()
    given.record("MEMBERS", member("anna"))
    given.time(day(2))
    given.prepare()
    given.record("ANCHORS", given.rules.conclude(2, Failed("tx_failed")))
    given.anchor()
    given.decided()
    assert len(given.facts) == 13
    before, after = Given(), Given()
    for each in given.facts[:cut]:
        before.rules.evolve(each)
    after.facts = given.facts[:cut]
    after = after.restarted()
    after.rules.check()
    assert after.rules.open == before.rules.open
    assert after.rules.plan() == before.rules.plan()
    assert after.rules.due() == before.rules.due()


def test_another_history_stops_the_anchor() -> None:
    given = Given().time(day(0))
    given.decided()
    given.record("MEMBERS", member("anna"))
    given.time(day(1))
    given.anchor()
    forged = Pen("MEMBERS").record(member("bert"))
    other = Given()
    for each in sorted(given.facts, key=lambda fact: fact.stream != "ANCHORS"):
        other.rules.evolve(forged if each.stream == "MEMBERS" else each)
    with pytest.raises(BrokenLaw, match=r"log-rewritten: .*demo/MEMBERS"):
        other.rules.check()
    other.rules.evolve(given.pens["PRICES"].record(time_draft(day(2))))
    with pytest.raises(BrokenLaw, match="log-rewritten"):
        other.rules.plan()


def test_a_shorter_stream_stops_the_anchor() -> None:
    given = Given().time(day(0))
    given.record("MEMBERS", member("anna"))
    given.time(day(1))
    given.anchor()
    other = Given()
    for each in given.facts:
        if each.stream != "MEMBERS":
            other.rules.evolve(each)
    with pytest.raises(BrokenLaw, match="log-shrunk"):
        other.rules.check()


def test_a_log_that_is_not_followed_any_more_stops_the_anchor() -> None:
    given = Given().time(day(0)).time(day(1))
    given.anchor()
    fewer = Anchor(
        logs=Logs("demo", ("ANCHORS", "PRICES")),
        stream="ANCHORS",
        interval_s=DAY,
        log_seed=LOG_SEED,
    )
    for each in given.facts:
        fewer.evolve(each)
    with pytest.raises(BrokenLaw, match="log-dropped"):
        fewer.check()


def test_a_round_text_is_in_order() -> None:
    given = Given().time(day(0)).time(day(1))
    assert list(split_round(given.prepare().round_text)) == sorted(
        f"demo/{stream}" for stream in STREAMS
    )
