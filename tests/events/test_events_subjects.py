"""Streams and subjects: the one table, its reserved key, and the partition of a meter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.fact import REGISTRY
from libs.events.ids import is_id
from libs.events.subjects import (
    ANCHORS,
    BILLING,
    FAMILIES,
    LEDGER,
    MEMBERS,
    METERS,
    PRICES,
    READINGS,
    StreamFamily,
    family_of,
    partition_of,
)
from libs.eventstore.model import matches

ids = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
BAD_TOKENS = ["", "a.b", "*", ">", "a*", "a>b", "a b", " ", "a/b", "a\n", "\u00e9", "a" * 65, "."]


@pytest.mark.parametrize(
    ("family", "part", "stream", "subject"),
    [
        (READINGS, "0", "READINGS_0", "readings.0.k.F"),
        (METERS, "3", "METERS_3", "meters.3.k.F"),
        (MEMBERS, "", "MEMBERS", "members.k.F"),
        (PRICES, "", "PRICES", "prices.k.F"),
        (LEDGER, "valley", "LEDGER_valley", "ledger.valley.k.F"),
        (BILLING, "valley", "BILLING_valley", "billing.valley.k.F"),
        (ANCHORS, "", "ANCHORS", "anchors.k.F"),
    ],
    ids=lambda value: value.name if isinstance(value, StreamFamily) else "",
)
def test_every_family_has_its_streams_and_subjects(
    family: StreamFamily, part: str, stream: str, subject: str
) -> None:
    assert family.stream(part) == stream
    assert family.subject(part, "k", "F") == subject
    assert family_of(stream) == (family, part)
    assert any(matches(subject, pattern) for pattern in family.subjects(part))


def test_the_table_is_that_of_the_decision() -> None:
    table = {name: (f.prefix, f.parted_by, f.writer, f.readers) for name, f in FAMILIES.items()}

    assert table == {
        "READINGS": ("readings", "partition", "ingest", ("ledger", "billing", "oracle")),
        "METERS": ("meters", "partition", "ingest", ("ledger", "billing")),
        "MEMBERS": ("members", "nothing", "ledger", ("ingest", "billing", "oracle")),
        "PRICES": ("prices", "nothing", "oracle", ("ingest", "ledger", "billing", "anchor")),
        "LEDGER": ("ledger", "book", "ledger", ("ledger", "billing", "oracle")),
        "BILLING": ("billing", "book", "billing", ("ledger", "oracle")),
        "ANCHORS": ("anchors", "nothing", "anchor", ("oracle",)),
    }


def test_the_clock_has_the_reserved_key_in_every_stream() -> None:
    assert PRICES.subject("", "time", "TimeAdvanced") == "time.TimeAdvanced"
    assert READINGS.subject("0", "time", "TimeReached") == "readings.0.time.TimeReached"
    assert LEDGER.subject("valley", "time", "TimeReached") == "ledger.valley.time.TimeReached"
    assert BILLING.subject("valley", "time", "TimeReached") == "billing.valley.time.TimeReached"
    assert ANCHORS.subject("", "time", "TimeReached") == "anchors.time.TimeReached"
    assert any(matches("time.TimeAdvanced", pattern) for pattern in PRICES.subjects(""))


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_the_reserved_key_is_for_the_clock_alone(family: StreamFamily) -> None:
    with pytest.raises(ValueError, match="reserved"):
        family.subject("0", "time", "ReadingRecorded")
    with pytest.raises(ValueError, match="reserved"):
        family.subject("0", "meter", "TimeReached")
    with pytest.raises(ValueError, match="reserved"):
        family.subject("0", "meter", "TimeAdvanced")


@pytest.mark.parametrize("token", BAD_TOKENS)
@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_no_wildcard_dot_or_empty_token_gets_into_a_subject(
    family: StreamFamily, token: str
) -> None:
    with pytest.raises(ValueError, match="no id"):
        family.subject("0", token, "F")
    if family.parted_by != "nothing":
        with pytest.raises(ValueError, match="no id"):
            family.subject(token, "key", "F")


@given(ids, ids, st.sampled_from(sorted(FAMILIES)))
def test_a_subject_leads_back_to_its_stream_and_to_no_other(part: str, key: str, name: str) -> None:
    family = FAMILIES[name]
    fact = "TimeReached" if key == "time" else "F"
    stream = family.stream(part)
    subject = family.subject(part, key, fact)

    found, found_part = family_of(stream)
    assert found is family
    assert family.stream(found_part) == stream
    takers = [
        each.name
        for each in FAMILIES.values()
        if any(matches(subject, pattern) for pattern in each.subjects(part))
    ]
    assert takers == ["PRICES" if subject.startswith("time.") else name]


@pytest.mark.parametrize(
    "stream",
    [
        "",
        "READINGS",
        "METERS",
        "LEDGER",
        "BILLING",
        "MEMBERS_0",
        "PRICES_main",
        "ANCHORS_x",
        "INTAKE",
        "readings_0",
        "READINGS_",
        "READINGS_a.b",
        "READINGS_*",
        "LEDGER_ x",
        f"LEDGER_{'a' * 65}",
    ],
)
def test_what_is_no_fact_stream_is_refused(stream: str) -> None:
    with pytest.raises(ValueError, match="no fact stream"):
        family_of(stream)


def test_a_book_may_have_a_line_in_its_name() -> None:
    assert family_of("LEDGER_golden_valley") == (LEDGER, "golden_valley")


def test_every_fact_stands_in_a_family_of_the_table() -> None:
    for cls in REGISTRY.values():
        assert cls.families, cls.fact_name
        assert all(FAMILIES[family.name] is family for family in cls.families)
        assert is_id(cls.fact_name)


# Published by the authors of the hash: "FNV test vectors", draft-eastlake-fnv, appendix C.
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", 0x811C9DC5),
        ("a", 0xE40C292C),
        ("b", 0xE70C2DE5),
        ("c", 0xE60C2C52),
        ("f", 0xE30C2799),
        ("fo", 0x6222E842),
        ("foo", 0xA9F37ED7),
        ("foob", 0x3F5076EF),
        ("fooba", 0x39AAA18A),
        ("foobar", 0xBF9CF968),
    ],
)
def test_the_partition_comes_from_the_published_hash(text: str, value: int) -> None:
    assert partition_of(text, 2**32) == value
    assert [partition_of(text, count) for count in (1, 2, 7)] == [0, value % 2, value % 7]


@given(ids, st.integers(1, 64))
def test_every_meter_has_one_partition(meter: str, count: int) -> None:
    assert 0 <= partition_of(meter, count) < count
    assert partition_of(meter, 1) == 0
