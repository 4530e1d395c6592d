"""The registry of facts and the upcast of old versions, on facts that exist only in these tests."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from libs.events.envelope import Draft, Recorded, decode, encode
from libs.events.errors import InvalidFact
from libs.events.fact import LATEST, REGISTRY, Fact, fact, schema_name, type_name
from libs.events.ids import Id
from libs.events.quantities import Count, DurationS
from libs.events.subjects import LEDGER, READINGS
from libs.events.upcast import UPCASTS, missing_steps, upcast

NOON = datetime(2016, 7, 1, 12, tzinfo=UTC)
STREAM = "LEDGER_valley"


@pytest.fixture(autouse=True)
def _registry_of_our_own() -> Iterator[None]:
    """Whatever a test registers is forgotten again."""
    tables: tuple[dict[Any, Any], ...] = (REGISTRY, LATEST, UPCASTS)
    kept = [dict(table) for table in tables]
    yield
    for table, before in zip(tables, kept, strict=True):
        table.clear()
        table.update(before)


def first_version() -> type[Fact]:
    @fact("PanelCleaned", 1, LEDGER)
    class PanelCleanedV1(Fact):
        panel: Id
        minutes: Count

    return PanelCleanedV1


def second_version() -> type[Fact]:
    @fact("PanelCleaned", 2, LEDGER)
    class PanelCleanedV2(Fact):
        panel: Id
        duration_s: DurationS
        by: Id | None = None

    return PanelCleanedV2


def third_version() -> type[Fact]:
    @fact("PanelCleaned", 3, LEDGER)
    class PanelCleanedV3(Fact):
        panel: Id
        duration_s: DurationS
        by: Id

    return PanelCleanedV3


def stored(made: Fact) -> tuple[str, bytes]:
    draft = Draft("panel-7", made, "panel-7.1", NOON)
    return encode(draft, deployment="test", stream=STREAM, n=1, cause="- cleaner", seen="")


def read(subject: str, data: bytes) -> Recorded[Fact]:
    return decode(deployment="test", stream=STREAM, sequence=1, subject=subject, data=data)


def values(made: Fact) -> dict[str, object]:
    return made.model_dump(exclude_none=True)


def test_a_fact_is_stored_under_the_name_beside_its_class() -> None:
    cls = first_version()

    assert type_name(cls) == "heliograph.PanelCleaned.v1"
    assert schema_name(cls) == "urn:heliograph:schema:PanelCleaned:v1"
    assert REGISTRY["PanelCleaned", 1] is LATEST["PanelCleaned"] is cls
    assert (cls.fact_name, cls.fact_version, cls.families) == ("PanelCleaned", 1, (LEDGER,))


def test_a_name_and_version_is_never_used_twice() -> None:
    first_version()

    with pytest.raises(ValueError, match="PanelCleaned version 1 is registered already"):
        first_version()


def test_a_new_version_does_not_move_to_another_stream() -> None:
    first_version()

    with pytest.raises(ValueError, match="other streams"):

        @fact("PanelCleaned", 2, READINGS)
        class Elsewhere(Fact):
            panel: Id

    assert ("PanelCleaned", 2) not in REGISTRY


def test_the_newest_version_wins_in_whatever_order_they_are_registered() -> None:
    newer = second_version()
    older = first_version()

    assert LATEST["PanelCleaned"] is newer
    assert REGISTRY["PanelCleaned", 1] is older


def test_bytes_of_version_1_are_read_as_version_2_and_stay_as_they_are() -> None:
    old = first_version()
    subject, data = stored(old.model_validate({"panel": "panel-7", "minutes": 3}))
    before = read(subject, data)
    new = second_version()

    @upcast("PanelCleaned", 1)
    def to_seconds(cleaned: Fact) -> Fact:
        known = values(cleaned)
        return new.model_validate(
            {"panel": known["panel"], "duration_s": 60 * int(str(known["minutes"]))}
        )

    recorded = read(subject, data)

    assert isinstance(recorded.fact, new)
    assert values(recorded.fact) == {"panel": "panel-7", "duration_s": 180}
    assert isinstance(recorded.envelope.data, old)
    assert recorded.envelope.type == "heliograph.PanelCleaned.v1"
    assert recorded.data == data == before.data
    assert recorded.position == before.position
    assert missing_steps() == []


def test_both_versions_are_read_side_by_side() -> None:
    old, new = first_version(), second_version()

    @upcast("PanelCleaned", 1)
    def step(cleaned: Fact) -> Fact:
        return new.model_validate({"panel": values(cleaned)["panel"], "duration_s": 0})

    old_fact = old.model_validate({"panel": "a", "minutes": 1})
    new_fact = new.model_validate({"panel": "b", "duration_s": 5, "by": "raul"})

    assert values(read(*stored(old_fact)).fact) == {"panel": "a", "duration_s": 0}
    assert read(*stored(new_fact)).fact == new_fact


def test_steps_are_taken_one_after_another() -> None:
    old, middle, new = first_version(), second_version(), third_version()

    @upcast("PanelCleaned", 1)
    def to_seconds(cleaned: Fact) -> Fact:
        return middle.model_validate({"panel": values(cleaned)["panel"], "duration_s": 60})

    @upcast("PanelCleaned", 2)
    def to_somebody(cleaned: Fact) -> Fact:
        return new.model_validate({"by": "unknown", **values(cleaned)})

    recorded = read(*stored(old.model_validate({"panel": "a", "minutes": 1})))

    assert isinstance(recorded.fact, new)
    assert values(recorded.fact) == {"panel": "a", "duration_s": 60, "by": "unknown"}


def test_a_missing_step_is_named() -> None:
    first_version()
    assert missing_steps() == []
    second_version()
    third_version()

    assert missing_steps() == [("PanelCleaned", 1), ("PanelCleaned", 2)]


def test_a_step_is_registered_once() -> None:
    @upcast("PanelCleaned", 1)
    def step(cleaned: Fact) -> Fact:
        return cleaned

    with pytest.raises(ValueError, match="registered already"):
        upcast("PanelCleaned", 1)(step)
    assert UPCASTS["PanelCleaned", 1] is step


def test_a_step_that_leads_nowhere_is_our_bug() -> None:
    old = first_version()
    subject, data = stored(old.model_validate({"panel": "a", "minutes": 1}))
    second_version()

    @upcast("PanelCleaned", 1)
    def step(cleaned: Fact) -> Fact:
        return cleaned

    with pytest.raises(AssertionError):
        read(subject, data)


@pytest.mark.parametrize("claimed", ["v2", "v3", "v0", "v", "v01", "V1"])
def test_bytes_are_read_as_the_version_that_they_name(claimed: str) -> None:
    subject, data = stored(first_version().model_validate({"panel": "a", "minutes": 1}))
    second_version()
    changed = data.replace(b"PanelCleaned.v1", f"PanelCleaned.{claimed}".encode())

    with pytest.raises(InvalidFact) as caught:
        read(subject, changed)

    assert caught.value.rule == "schema"


def test_an_old_version_with_a_new_member_is_refused() -> None:
    subject, data = stored(first_version().model_validate({"panel": "a", "minutes": 1}))
    second_version()
    changed = data.replace(b'"minutes":1', b'"minutes":1,"by":"raul"')

    with pytest.raises(InvalidFact) as caught:
        read(subject, changed)

    assert caught.value.rule == "schema"
    assert "by" in str(caught.value)


def test_no_step_is_missing_in_what_we_ship() -> None:
    assert missing_steps() == []
    assert {name for name, _ in REGISTRY} == set(LATEST)
