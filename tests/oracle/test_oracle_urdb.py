"""Tariffs in the shape of the utility rate database: exact to the stroop, or refused by name."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from libs.events.pricing import FeedIn
from libs.runtime.failures import Refused
from services.oracle.adapters.urdb import read_tariff

DOCUMENT = Path(__file__).parent / "documents" / "urdb.json"


def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DOCUMENT.read_text())["items"][0]
    return found


def changed(path: str, value: Any) -> bytes:
    found = copy.deepcopy(document())
    *above, last = path.split(".")
    place: Any = found
    for step in above:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if isinstance(place, list):
        place[int(last)] = value
    else:
        place[last] = value
    return json.dumps(found).encode()


def test_a_document_becomes_a_tariff_exact_to_the_stroop() -> None:
    data = DOCUMENT.read_bytes()
    found = read_tariff(data)
    use = found.prices.time_of_use
    assert use is not None
    low, high = use.buckets
    assert [(tier.price_stroops_per_kwh, tier.up_to_wh) for tier in low.tiers] == [
        (1_173_000, 400_000),  # 0.1132 + 0.0041
        (1_290_000, 900_000),
        (1_514_003, None),
    ]
    assert [tier.price_stroops_per_kwh for tier in high.tiers] == [2_800_000]  # 0.2871 - 0.0071
    assert use.weekday[0] == "0" * 7 + "1" * 14 + "0" * 3
    assert use.weekday[6] == "0" * 15 + "1" * 6 + "0" * 3
    assert use.weekend == ("0" * 24,) * 12
    assert found.prices.standing_stroops_per_month == 124_000_000
    assert found.prices.feed_in == FeedIn(price_stroops_per_kwh=350_000)
    assert found.prices.source_sha256 == hashlib.sha256(data).hexdigest()
    assert found.left_out == ("dgrules",)


def test_names_of_people_and_firms_are_kept_nowhere() -> None:
    assert b"Nobody" not in read_tariff(DOCUMENT.read_bytes()).prices.model_dump_json().encode()


@pytest.mark.parametrize(
    ("unit", "stroops"),
    [("$/month", 10_000_000), ("$/day", 304_166_667), ("$/year", 833_333)],
)
def test_the_fixed_charge_is_told_by_the_month(unit: str, stroops: int) -> None:
    found = document() | {"fixedchargefirstmeter": 1, "fixedchargeunits": unit}
    prices = read_tariff(json.dumps(found).encode()).prices
    assert prices.standing_stroops_per_month == stroops


def test_the_older_name_of_the_fixed_charge_is_read() -> None:
    found = document() | {"fixedmonthlycharge": 7.5}
    del found["fixedchargefirstmeter"], found["fixedchargeunits"]
    prices = read_tariff(json.dumps(found).encode()).prices
    assert prices.standing_stroops_per_month == 75_000_000


def test_a_tariff_without_what_may_be_left_out_is_read() -> None:
    hours = [[0] * 24] * 12
    bare = {
        "energyratestructure": [[{"rate": 0.2}]],
        "energyweekdayschedule": hours,
        "energyweekendschedule": hours,
    }
    prices = read_tariff(json.dumps(bare).encode()).prices
    assert (prices.standing_stroops_per_month, prices.feed_in) == (0, None)


TIER = "energyratestructure.0.0"


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        (f"{TIER}.unit", "kWh/kW", "document-unit"),
        (f"{TIER}.unit", "kWh daily", "document-unit"),
        (f"{TIER}.unit", None, "document-unit"),
        (f"{TIER}.rate", -0.2, "price-not-positive"),
        (f"{TIER}.adj", -0.1132, "price-not-positive"),
        (f"{TIER}.rate", "0.2", "document-number"),
        (f"{TIER}.rate", True, "document-number"),
        (f"{TIER}.rate", float("nan"), "document-number"),
        (f"{TIER}.rate", 1e300, "document-number"),
        (f"{TIER}.rate", 10**100, "document-number"),
        (f"{TIER}.rate", 1e-300, "document-number"),
        (f"{TIER}.max", 0, "document-number"),
        (f"{TIER}.max", 0.0001, "document-number"),
        (f"{TIER}.sell", 0.01, "feed-in-differs"),
        (f"{TIER}.sell", -0.01, "price-not-positive"),
        ("energyratestructure.0", [], "document-shape"),
        ("energyratestructure", [], "document-shape"),
        ("energyratestructure.1.0", 5, "document-shape"),
        ("energyweekdayschedule", [[0] * 24] * 11, "tariff-gap"),
        ("energyweekdayschedule.3", [0] * 23, "tariff-gap"),
        ("energyweekendschedule.3.5", 2, "tariff-gap"),
        ("energyweekendschedule.3.5", -1, "tariff-gap"),
        ("energyweekendschedule.3.5", None, "tariff-gap"),
        ("fixedchargeunits", "$/kW", "document-unit"),
        ("fixedchargefirstmeter", -1, "price-not-positive"),
        ("fixedmonthlycharge", 5, "document-shape"),
        ("minmonthlycharge", 5, "charge-not-supported"),
        ("fueladjustmentsmonthly", [0] * 11 + [0.01], "charge-not-supported"),
        ("flatdemandstructure", [[{"rate": 3.2}]], "demand-charge"),
    ],
)
def test_what_is_not_understood_is_refused_at_its_member(path: str, value: Any, code: str) -> None:
    with pytest.raises(Refused) as refusal:
        read_tariff(changed(path, value))
    assert refusal.value.code == code
    assert refusal.value.field is not None
    assert path.split(".", maxsplit=1)[0] == refusal.value.field.split(".")[0]
    assert refusal.value.field in refusal.value.message


@pytest.mark.parametrize("number", ["1e999999999", "-1e-999999999"])
def test_a_number_that_nobody_can_count_with_is_refused(number: str) -> None:
    data = changed(f"{TIER}.rate", 987_654_321).replace(b"987654321", number.encode())
    with pytest.raises(Refused) as refusal:
        read_tariff(data)
    assert refusal.value.code == "document-number"


def test_tiers_that_do_not_rise_are_refused() -> None:
    with pytest.raises(Refused) as refusal:
        read_tariff(changed("energyratestructure.0.1.max", 300))
    assert (refusal.value.code, refusal.value.field) == ("document-shape", "energyratestructure.0")


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"\xff", b'{"items": []}', b"[" * 100_000, b'{"a": ' + b"9" * 9_999 + b"}"],
    ids=range(7),
)
def test_what_is_no_tariff_is_refused(data: bytes) -> None:
    with pytest.raises(Refused) as refusal:
        read_tariff(data)
    assert refusal.value.code == "document-shape"


def test_demand_charges_are_left_out_on_purpose_only_and_named() -> None:
    data = changed("flatdemandstructure", [[{"rate": 3.2}]])
    assert read_tariff(data, ignores_demand=True).left_out == ("dgrules", "flatdemandstructure")
    free = changed("flatdemandstructure", [[{"rate": 0}]])
    assert read_tariff(free).left_out == ("dgrules",)
