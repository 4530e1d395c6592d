"""The walkthrough is true: every file and name exists, and the code gives the numbers it shows.

July is played in one process (`village`); each step of the page is then looked up in what came of
it. A number of three digits or more that no step computed fails too, so none can creep in.
"""

import ast
import asyncio
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from heliograph.demo import cast
from heliograph.demo.check import Ledgers, invoices_of
from libs.events.quantities import parse_instant
from libs.eventstore import Stored
from libs.merkle import parse_checkpoint
from libs.proof.build import build_proof, log_keys_of, trust_file
from libs.proof.model import ProofFile
from libs.proof.rounds import split_round
from libs.proof.verify import STEPS_COUNT, Refused, Verdict, Verified, verify_proof
from libs.rules.allocation import Demand, allocate
from services.teller.domain import build, generation, pieces
from services.teller.source import read_source
from tests.docs import village
from tests.docs.village import ANCHOR, LOG_SEED, PASSPHRASE, ROOT, Village, of_kind, played_july

# stellar-sdk 16 calls a function of its own that it calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:This function is deprecated:DeprecationWarning")

PAGE = ROOT / "docs" / "walkthrough.md"
INTERVAL, SEQ, METER, INVOICE = 16, 2, "pv-1", "home-2016-07"
NUMBER = re.compile(r"\d[\d,.]*\d|\d")


@dataclass(frozen=True)
class Step:
    """One section of the page."""

    title: str
    text: str

    @property
    def number(self) -> int | None:
        match = re.match(r"(\d+)\. ", self.title)
        return int(match[1]) if match else None

    @property
    def names(self) -> list[tuple[str, list[str]]]:
        """The named files, each with the names in it."""
        rows = re.findall(r"^- `([^`]+)`: (.+)$", self.text, re.MULTILINE)
        return [(path, re.findall(r"`([^`]+)`", names)) for path, names in rows]

    @property
    def sentences(self) -> str:
        return "\n".join(line for line in self.text.splitlines() if not line.startswith("- `"))


def steps() -> list[Step]:
    parts = re.split(r"^## (.+)$", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    return [Step(*pair) for pair in zip(parts[1::2], parts[2::2], strict=True)]


def defined(path: Path) -> Iterator[str]:
    """Every function and class of a module, methods with the name of their class."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            yield node.name
            for part in node.body:
                if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{node.name}.{part.name}"


def test_steps_are_numbered_without_gaps() -> None:
    numbers = [step.number for step in steps() if step.number is not None]
    assert numbers == list(range(1, 11))


@pytest.mark.parametrize("step", steps(), ids=lambda step: step.title)
def test_every_named_file_and_function_exists(step: Step) -> None:
    assert step.names
    for path, names in step.names:
        known = set(defined(ROOT / path))
        assert names
        assert set(names) <= known, f"{path} lacks {set(names) - known}"


@dataclass(frozen=True)
class Played:
    """July, and its proof."""

    streams: dict[str, list[Stored]]
    village: Village
    proof: bytes
    trust: bytes
    verified: Verified

    def one(self, stream: str, name: str, **wanted: object) -> tuple[Stored, dict[str, Any]]:
        """The one fact of a name whose data have the wanted values."""
        found = [
            (row, data)
            for row, data in of_kind(self.streams[stream], name)
            if all(data[key] == value for key, value in wanted.items())
        ]
        assert len(found) == 1
        return found[0]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("walkthrough")

    async def play() -> tuple[Village, dict[str, list[Stored]]]:
        async with played_july(folder, monkeypatch) as made:
            return made, await made.streams()

    with pytest.MonkeyPatch.context() as monkeypatch:
        made, streams = asyncio.run(play())
    proof = build_proof(streams, INVOICE).to_bytes()
    trust = trust_file(
        deployment=cast.DEPLOYMENT,
        network=PASSPHRASE,
        anchor_accounts=[ANCHOR.public_key],
        log_keys=log_keys_of(cast.DEPLOYMENT, streams, bytes(SigningKey(LOG_SEED).verify_key)),
        first_approver=cast.key_of("approver").address,
    ).to_bytes()
    return Played(streams, made, proof, trust, verify_proof(proof, trust))


def numbers_of(played: Played) -> dict[int, list[str]]:
    """What the code gives for each step, as the page writes it."""
    return {
        1: power(played),
        2: report(played),
        4: judged(played),
        5: recorded(played),
        6: billed(played),
        7: paid(played),
        8: hashed(played),
        9: [],
        10: proved(played),
    }


def power(played: Played) -> list[str]:
    source = read_source(village.SEASON, village.ZONE)
    _, data = played.one("READINGS_0", "ReadingRecorded", meter=METER, seq=SEQ)
    start = int(parse_instant(data["first_interval_at"]).timestamp()) + 900 * INTERVAL
    watts = source.powers[list(source.instants).index(start)] / source.scale
    _, load = played.one("READINGS_0", "ReadingRecorded", meter="home-1", seq=SEQ)
    consumed = load["registers"][0]["differences_wh"][INTERVAL]
    return [f"{watts:.2f} W", f"{generated(data)} Wh", "500 W", f"{consumed} Wh"]


def generated(data: dict[str, Any]) -> int:
    (register,) = [each for each in data["registers"] if each["name"] == "generated"]
    energy: int = register["differences_wh"][INTERVAL]
    return energy


def report(played: Played) -> list[str]:
    _, data = played.one("READINGS_0", "ReadingRecorded", meter=METER, seq=SEQ)
    assert data["report"] == played.village.carried[METER, SEQ]
    (register,) = [each for each in data["registers"] if each["name"] == "generated"]
    count = len(register["differences_wh"])
    assert data["first_interval_at"] == "2016-07-01T12:00:00Z"
    assert data["head"]["until_at"] == "2016-07-01T18:00:00Z"
    return [
        f"interval {INTERVAL + 1} of the {count}",
        f"report {SEQ} of meter `{METER}`",
        f"{register['after_wh']:,} Wh",
    ]


def judged(played: Played) -> list[str]:
    _, enrolled = played.one("METERS_0", "MeterEnrolled", meter=METER)
    assert not of_kind(played.streams["READINGS_0"], "ReadingRefused")
    return [f"{enrolled['nameplate_w']:,} W", "`ReadingRefused`"]


def recorded(played: Played) -> list[str]:
    row, _ = played.one("READINGS_0", "ReadingRecorded", meter=METER, seq=SEQ)
    envelope = json.loads(row.data)
    assert " METERS_0:2:" in f" {envelope['seen']}"
    return [f"`n` is {envelope['n']}", f"fact {row.sequence}", f"{len(row.data):,} bytes"]


def billed(played: Played) -> list[str]:
    _, reading = played.one("READINGS_0", "ReadingRecorded", meter=METER, seq=SEQ)
    _, invoice = played.one("BILLING_pilot", "InvoiceIssued", invoice=INVOICE)
    row, _ = played.one("READINGS_0", "ReadingRecorded", meter=METER, seq=SEQ)
    positions = [place for each in invoice["readings"] for place in each["positions"]]
    assert row.sequence in positions
    (line,) = invoice["lines"]
    share = allocate(generated(reading), {"home": Demand(cast.PRICE_STROOPS, 125)})["home"]
    whole, rest = divmod(invoice["total_stroops"], 10_000_000)
    return [
        f"{generated(reading)} Wh",
        f"used {share.own_use_wh} Wh",
        f"{invoice['rated_intervals']:,} intervals",
        f"{invoice['unrated_intervals']} lacked",
        f"{line['energy_wh']:,} Wh",
        f"{line['price_stroops_per_kwh']:,} stroops per kWh",
        f"{line['amount_stroops']:,} stroops",
        f"{whole}.{rest:07} USD",
        f"number {invoice['number']}",
        f"{len(positions)} of two meters",
        INVOICE,
    ]


def paid(played: Played) -> list[str]:
    settled_row, settled = played.one("LEDGER_pilot", "PaymentSettled")
    moved_row, moved = played.one("LEDGER_pilot", "OwnershipTransferred")
    assert settled_row.append_id == moved_row.append_id
    first, second = (each["amount_stroops"] for each in settled["principal"])
    assert [each["shares"] for each in moved["moves"]] == [first, second]
    return [
        f"{first:,} stroops",
        f"{second:,}",
        f"{moved['own_shares']:,} of the {moved['holding_units']:,} shares",
    ]


def hashed(played: Played) -> list[str]:
    row, _ = played.one("READINGS_0", "ReadingRecorded", meter=METER, seq=SEQ)
    prepared, data = played.one("ANCHORS", "AnchorPrepared", round=1)
    assert json.loads(prepared.data)["time"] == "2016-07-02T06:00:00Z"
    notes = split_round(data["round_text"])
    head = parse_checkpoint(notes["demo/READINGS_0"].partition("\n\n")[0] + "\n")
    assert head.size >= row.sequence
    assert hashlib.sha256(data["round_text"].encode()).hexdigest() == data["round_sha256"]
    words = {7: "seven"}
    return [f"leaf {row.sequence - 1}", f"{words[len(notes)]} in all", "round 1"]


def proved(played: Played) -> list[str]:
    assert len(played.proof) < 500_000
    assert played.verified.verdict is Verdict.PROVED
    names = {step.number: step.name for step in played.verified.steps}
    assert (names[8], names[9], names[10]) == ("reports", "sequences", "energy and price")
    return [f"{STEPS_COUNT} numbered steps", '"proved"', "125 Wh"]


def test_the_code_gives_what_the_page_says(played: Played) -> None:
    by_number = {step.number: step for step in steps()}
    for number, wanted in numbers_of(played).items():
        text = " ".join(by_number[number].sentences.split())
        for each in wanted:
            assert each in text, f"step {number} lacks {each!r}"
        check_no_other_number(text, wanted)


def check_no_other_number(text: str, computed: Sequence[str]) -> None:
    """Every number of three digits or more in a step was computed."""
    known = {found for each in computed for found in NUMBER.findall(each)}
    prose = re.sub(r"`[^`]*`|\d\d:\d\d|\[[^]]*\]\([^)]*\)", "", text)
    others = {
        each.rstrip(".,")
        for each in NUMBER.findall(prose)
        if sum(letter.isdigit() for letter in each) > 2
    }
    assert others <= known, f"nobody computed {others - known}"


def test_a_changed_digit_is_refused_by_a_step(played: Played) -> None:
    file = ProofFile.from_bytes(played.proof)
    row, _ = played.one("READINGS_0", "ReadingRecorded", meter=METER, seq=SEQ)
    text = row.data.decode()
    changed = json.dumps(text.replace(",221,329", ",220,329", 1))[1:-1]
    forged = played.proof.replace(json.dumps(text)[1:-1].encode(), changed.encode())
    assert forged != played.proof
    assert ProofFile.from_bytes(forged) != file
    with pytest.raises(Refused) as caught:
        verify_proof(forged, played.trust)
    assert caught.value.step == 5
    assert "READINGS_0" in caught.value.message


def test_the_demonstration_signs_the_same_reports_and_bills_the_same(played: Played) -> None:
    golden = json.loads((ROOT / "tests" / "golden" / "demo-season.json").read_text())
    counted = generation(METER, read_source(village.SEASON, village.ZONE))
    key, deployment = cast.key_of("teller"), cast.DEPLOYMENT
    season = [
        build(counted, piece, deployment=deployment, key=key) for piece in pieces(counted, 24)
    ]
    digest = hashlib.sha256("".join(each.jws for each in season).encode()).hexdigest()
    assert digest == golden["reports"][METER]
    assert season[SEQ - 1].jws == played.village.carried[METER, SEQ]
    assert invoices_of(Ledgers.read(played.streams))[0] == golden["invoices"][0]
