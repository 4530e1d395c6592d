"""The envelope: what `decode` reads, what it refuses and by which rule, and what CloudEvents asks.

Every refusal starts from the stored bytes of a golden example and changes one thing.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from libs.events.books import MoneyMove, PaymentSettled
from libs.events.envelope import (
    FACT_SIZE_MAX,
    NUMBER_MAX,
    Draft,
    Recorded,
    decode,
    encode,
    envelope_schema,
    record,
)
from libs.events.errors import InvalidFact
from libs.events.fact import Fact
from libs.events.metering import ReadingRecorded
from libs.events.positions import Position, fact_hash
from tools.example_parts import AUGUST, DEPLOYMENT, LEDGER, READINGS, Example
from tools.examples import examples

EXAMPLES = {example.name: example for example in examples()}
READING = EXAMPLES["ReadingRecorded.v1"]
SUBJECT, DATA = READING.encoded()
OTHER_H = "f" * 32

Document = dict[str, Any]
Change = Callable[[Document], object]


def read(
    data: bytes = DATA,
    *,
    subject: str = SUBJECT,
    stream: str = READINGS,
    deployment: str = DEPLOYMENT,
) -> Recorded[Fact]:
    return decode(deployment=deployment, stream=stream, sequence=1, subject=subject, data=data)


def changed(change: Change, data: bytes = DATA) -> bytes:
    document = json.loads(data)
    change(document)
    return written(document)


def written(document: Document) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def set_to(**members: object) -> Change:
    return lambda document: document.update(members)


def refusal(data: bytes = DATA, **told: Any) -> str:
    with pytest.raises(InvalidFact) as caught:
        read(data, **told)
    return caught.value.rule


def draft(**changes: Any) -> Draft:
    members: dict[str, Any] = {
        "key": READING.key,
        "fact": READING.fact,
        "id": READING.id,
        "time": READING.time,
    }
    return Draft(**(members | changes))


def encoding(made: Draft, **changes: Any) -> tuple[str, bytes]:
    told: dict[str, Any] = {"deployment": DEPLOYMENT, "stream": READINGS, "n": 1}
    told |= {"cause": "- a", "seen": ""}
    return encode(made, **(told | changes))


def test_the_document_of_the_tests_is_spelled_as_it_is_stored() -> None:
    assert written(json.loads(DATA)) == DATA
    assert read().data == DATA


def test_a_stored_fact_is_read_with_its_place_and_its_hash() -> None:
    recorded = decode(
        deployment=DEPLOYMENT, stream=READINGS, sequence=4_711, subject=SUBJECT, data=DATA
    )

    assert isinstance(recorded.fact, ReadingRecorded)
    assert recorded.fact == READING.fact
    assert recorded.position == Position(READINGS, 4_711, fact_hash(DATA))
    assert (recorded.envelope.n, recorded.envelope.key) == (READING.n, READING.key)
    assert (recorded.envelope.time, recorded.envelope.cause) == (READING.time, READING.cause)


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=lambda example: example.name)
def test_what_is_recorded_is_what_is_read_back(example: Example) -> None:
    subject, data = example.encoded()
    envelope = read(data, subject=subject, stream=example.stream).envelope
    made = record(
        Draft(example.key, example.fact, example.id, example.time),
        deployment=DEPLOYMENT,
        stream=example.stream,
        sequence=example.sequence,
        n=example.n,
        cause=example.cause,
        seen=envelope.seen,
    )
    found = decode(
        deployment=DEPLOYMENT,
        stream=example.stream,
        sequence=example.sequence,
        subject=made.envelope.subject,
        data=made.data,
    )

    assert made == found
    assert made.position == found.position
    assert (made.envelope.subject, made.data) == (subject, data)


def test_members_stand_in_the_order_of_the_contract() -> None:
    assert list(json.loads(DATA)) == [
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "datacontenttype",
        "dataschema",
        "key",
        "n",
        "cause",
        "seen",
        "data",
    ]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (set_to(subject="readings.0.other-pv.ReadingRecorded"), "subject"),
        (set_to(subject="readings.1.sunrise-pv.ReadingRecorded"), "subject"),
        (set_to(key="other-pv"), "subject"),
        (set_to(source=f"/{DEPLOYMENT}/READINGS_1"), "source"),
        (set_to(source=f"/elsewhere/{READINGS}"), "source"),
        (set_to(source=f"{DEPLOYMENT}/{READINGS}"), "source"),
        (set_to(type="heliograph.ReadingRefused.v1"), "schema"),
        (set_to(type="heliograph.ReadingRecorded.v2"), "schema"),
        (set_to(type="Heliograph.ReadingRecorded.v1"), "schema"),
        (set_to(dataschema="urn:heliograph:schema:ReadingRefused:v1"), "schema"),
        (set_to(specversion="0.3"), "schema"),
        (set_to(datacontenttype="text/plain"), "schema"),
    ],
)
def test_what_does_not_follow_from_the_stream_is_refused(change: Change, rule: str) -> None:
    assert refusal(changed(change)) == rule


@pytest.mark.parametrize(
    ("told", "rule"),
    [
        ({"subject": "readings.0.other-pv.ReadingRecorded"}, "subject"),
        ({"subject": "readings.1.sunrise-pv.ReadingRecorded"}, "subject"),
        ({"subject": "elsewhere.0.sunrise-pv.ReadingRecorded"}, "subject"),
        ({"subject": "ReadingRecorded"}, "subject"),
        ({"subject": "readings.0.sunrise-pv.ReadingRefused"}, "schema"),
        ({"subject": "readings.0.sunrise-pv.ReadingWished"}, "type"),
        ({"subject": ""}, "type"),
        ({"stream": "READINGS_1"}, "subject"),
        ({"stream": "METERS_0"}, "type"),
        ({"stream": "LEDGER_valley"}, "type"),
        ({"stream": "INTAKE"}, "stream"),
        ({"stream": "READINGS"}, "stream"),
        ({"stream": "READINGS_"}, "stream"),
        ({"deployment": "elsewhere"}, "source"),
        ({"deployment": ""}, "source"),
    ],
)
def test_a_fact_that_is_found_elsewhere_is_refused(told: dict[str, Any], rule: str) -> None:
    assert refusal(**told) == rule


def test_no_other_fact_stands_under_the_reserved_key() -> None:
    subject = "readings.0.time.ReadingRecorded"

    assert refusal(changed(set_to(key="time", subject=subject)), subject=subject) == "subject"


@pytest.mark.parametrize("member", list(json.loads(DATA)))
def test_every_member_is_needed(member: str) -> None:
    def leave_out(document: Document) -> None:
        del document[member]

    has_default = member in {"specversion", "datacontenttype"}
    assert refusal(changed(leave_out)) == ("spelling" if has_default else "schema")


@pytest.mark.parametrize("member", ["extra", "Id", "traceparent", "data_base64", ""])
def test_an_unknown_member_is_refused(member: str) -> None:
    assert refusal(changed(set_to(**{member: "x"}))) == "schema"
    assert refusal(changed(lambda document: document["data"].update({member: "x"}))) == "schema"
    assert (
        refusal(changed(lambda document: document["data"]["head"].update({member: "x"})))
        == "schema"
    )


@pytest.mark.parametrize("n", [0, -1, NUMBER_MAX + 1, 1.0, "1", True, None])
def test_n_is_an_integer_of_31_bits_from_1(n: object) -> None:
    assert refusal(changed(set_to(n=n))) == "schema"
    with pytest.raises(InvalidFact) as caught:
        encoding(draft(), n=n)
    assert caught.value.rule == "envelope"


@pytest.mark.parametrize("n", [1, NUMBER_MAX])
def test_n_reaches_from_1_to_the_largest_of_32_bits(n: int) -> None:
    subject, data = encoding(draft(), n=n)

    assert read(data, subject=subject).envelope.n == n
    assert NUMBER_MAX == 2**31 - 1


@pytest.mark.parametrize(
    "members",
    [
        {"id": ""},
        {"id": "a b"},
        {"id": "x" * 201},
        {"id": "a/b"},
        {"id": 7},
        {"time": "2016-07-01T18:00:00.5Z"},
        {"time": "2016-07-01T18:00:00+00:00"},
        {"time": 1_467_396_000},
        {"key": "a.b"},
        {"key": ""},
        {"cause": "nothing"},
        {"cause": ""},
        {"cause": "- "},
        {"cause": f"READINGS_0:1:{OTHER_H}"},
        {"seen": "PRICES:7"},
        {"seen": f"PRICES:7:{OTHER_H} "},
        {"seen": None},
        {"data": None},
        {"data": []},
        {"data": {}},
        {"source": 1},
        {"source": "/" + "x" * 200},
    ],
    ids=str,
)
def test_a_member_that_breaks_its_grammar_is_refused(members: Document) -> None:
    assert refusal(changed(set_to(**members))) == "schema"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"n":42', b'"n":7,"n":42'),
        (b'"n":42', b'"n":42,"\\u006e":42'),
        (b'"epoch":1,"first', b'"epoch":2,"epoch":1,"first'),
        (b'"key":"sunrise-pv"', b'"key":"other","key":"sunrise-pv"'),
        (b'"head":{', b'"head":{"epoch":9,'),
        (b'"n":42', b'"n": 42'),
        (b"{", b" {"),
        (b'"sunrise-pv"', b'"sunrise\\u002dpv"'),
        (b'"/golden-valley/', b'"\\/golden-valley\\/'),
        (b'"n":42,"cause"', b'"cause"'),
    ],
)
def test_a_second_spelling_of_the_same_fact_is_refused(old: bytes, new: bytes) -> None:
    assert old in DATA
    if new == b'"cause"':  # `n` goes from its place to the end
        data = DATA.replace(old, new, 1)[:-1] + b',"n":42}'
    else:
        data = DATA.replace(old, new, 1)

    assert refusal(data) == "spelling"


def test_absent_is_left_out_and_not_null() -> None:
    subject, data = EXAMPLES["ReadingRefused.v1.least"].encoded()
    null = data.replace(b'"reason"', b'"seq":null,"reason"')

    assert b"null" not in data
    assert read(data, subject=subject).fact.model_dump()["seq"] is None
    assert refusal(null, subject=subject) == "spelling"


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "schema"),
        (b"sunshine", "schema"),
        (b"[]", "schema"),
        (b"null", "schema"),
        (b'"text"', "schema"),
        (b"\xef\xbb\xbf" + DATA, "schema"),
        (DATA.decode().encode("utf-16"), "schema"),
        (DATA.replace(b"sunrise-pv", b"sunrise-\xff"), "schema"),
        (DATA.replace(b"sunrise-pv", b"sunrise-\\ud800"), "schema"),
        (DATA[:-1], "schema"),
        (DATA + b"}", "schema"),
        (DATA + b"\n", "spelling"),
        (b"[" * 100_000, "schema"),
        (DATA.ljust(FACT_SIZE_MAX + 1), "size"),
        (DATA.ljust(FACT_SIZE_MAX), "spelling"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, bytes) else value,
)
def test_bytes_that_are_no_fact_are_refused(data: bytes, rule: str) -> None:
    assert refusal(data) == rule


def test_a_refusal_names_the_member_that_is_wrong() -> None:
    data = changed(lambda document: document["data"]["head"]["registers"][1].update(value_wh=-1))

    with pytest.raises(InvalidFact, match=r"^data\.head\.registers\.1\.value_wh: .*greater"):
        read(data)


def test_a_fact_is_written_only_into_its_stream() -> None:
    for stream in ("METERS_0", "LEDGER_valley", "READINGS", "INTAKE", "READINGS_a.b"):
        with pytest.raises(InvalidFact) as caught:
            encoding(draft(), stream=stream)
        assert caught.value.rule == "stream"


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "time"},
        {"key": "a.b"},
        {"key": ""},
        {"id": ""},
        {"id": "a b"},
        {"time": datetime(2016, 7, 1)},  # noqa: DTZ001
        {"time": READING.time.replace(microsecond=1)},
    ],
    ids=str,
)
def test_a_draft_that_breaks_a_rule_is_not_written(changes: Document) -> None:
    with pytest.raises(InvalidFact) as caught:
        encoding(draft(**changes))
    assert caught.value.rule == "envelope"


@pytest.mark.parametrize(
    "told", [{"cause": "nothing"}, {"seen": "PRICES"}, {"deployment": "x" * 200}]
)
def test_what_stands_around_a_draft_is_checked_too(told: dict[str, str]) -> None:
    with pytest.raises(InvalidFact) as caught:
        encoding(draft(), **told)
    assert caught.value.rule == "envelope"


def payment_of(count: int, last: int) -> Draft:
    """A fact of many moves, whose last member's name has so many letters."""
    example = EXAMPLES["PaymentSettled.v2"]
    assert isinstance(example.fact, PaymentSettled)
    moves = [
        MoneyMove(member=f"investor-{number:04}-of-our-valley", amount_stroops=10**10)
        for number in range(count)
    ]
    moves.append(MoneyMove(member="z" * last, amount_stroops=1))
    fact = example.fact.model_copy(update={"principal": tuple(moves)})
    return Draft("home", fact, "raul.pay.settled", AUGUST)


def test_a_fact_has_at_most_256_kib() -> None:
    base = len(encoding(payment_of(2_500, 1), stream=LEDGER)[1])
    one_more = len(encoding(payment_of(2_501, 1), stream=LEDGER)[1]) - base
    more, letters = divmod(FACT_SIZE_MAX - base, one_more)
    if letters > 63:
        pytest.fail("choose members' names so that the rest fits into one name")
    fitting, over = payment_of(2_500 + more, 1 + letters), payment_of(2_500 + more, 2 + letters)

    subject, data = encoding(fitting, stream=LEDGER)

    assert len(data) == FACT_SIZE_MAX == 262_144
    assert read(data, subject=subject, stream=LEDGER).fact == fitting.fact
    with pytest.raises(InvalidFact) as caught:
        encoding(over, stream=LEDGER)
    assert caught.value.rule == "size"


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=lambda example: example.name)
def test_every_document_is_a_cloud_event(example: Example) -> None:
    subject, data = example.encoded()
    document = json.loads(data.decode("utf-8"))

    assert all(re.fullmatch(r"[a-z0-9]{1,20}", name) for name in document)  # section 3, naming
    assert document["specversion"] == "1.0"
    assert all(document[name] for name in ("id", "source", "type", "subject"))
    assert re.fullmatch(r"/[A-Za-z0-9_-]+/[A-Za-z0-9_-]+", document["source"])  # a URI reference
    assert re.fullmatch(r"urn:heliograph:schema:[A-Za-z]+:v[1-9][0-9]*", document["dataschema"])
    assert datetime.fromisoformat(document["time"]).utcoffset() is not None  # RFC 3339
    assert document["datacontenttype"] == "application/json"
    assert document["subject"] == subject
    extensions = {"key": str, "n": int, "cause": str, "seen": str}
    assert all(type(document[name]) is kind for name, kind in extensions.items())
    assert document["n"] < 2**31


def test_source_and_id_together_are_unique() -> None:
    documents = [json.loads(each.encoded()[1]) for each in examples() if not each.is_least]
    names = [(document["source"], document["id"]) for document in documents]

    assert len(set(names)) == len(names) == len(documents)


def test_the_whole_document_has_a_schema_of_its_own() -> None:
    schema = envelope_schema(ReadingRecorded)

    assert schema["additionalProperties"] is False
    assert schema["properties"]["type"]["const"] == "heliograph.ReadingRecorded.v1"
    assert set(schema["properties"]) == set(json.loads(DATA))
