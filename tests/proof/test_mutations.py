"""Seeded mutations of an honest proof: every changed byte and every changed member is refused."""

import json
import os
import random
from typing import Any

import pytest

from libs.proof.model import ProofFile
from libs.proof.verify import Refused, verify_proof

FAST, LONG = 200, 20_000
SEED = int(os.environ.get("HELIOGRAPH_TEST_SEED", "0"))


def mutated(data: bytes, dice: random.Random) -> bytes:
    """One small accident: a bit, a byte, a piece lost, doubled or moved."""
    at, length = dice.randrange(len(data)), dice.choice((1, 1, 2, 8, 100))
    piece = data[at : at + length]
    rest = data[at + len(piece) :]
    match dice.randrange(6):
        case 0:
            return data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]
        case 1:
            return data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]
        case 2:
            return data[:at] + rest
        case 3:
            return data[:at] + piece * 2 + rest
        case 4:
            return data[:at] + piece[::-1] + rest
        case _:
            return data[:at]


def other(value: Any, dice: random.Random) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return max(0, value + dice.choice((-1, 1, 1000)))
    if isinstance(value, str) and value:
        at = dice.randrange(len(value))
        letter = dice.choice("AZaz09+/={}:,. ")
        return value[:at] + letter + value[at + 1 :]
    return None


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(value, dict):
        return [place for name, part in value.items() for place in places(part, (*path, name))]
    if isinstance(value, list):
        return [place for n, part in enumerate(value) for place in places(part, (*path, n))]
    return [path]


def changed(document: dict[str, Any], path: tuple[str | int, ...], value: Any) -> bytes:
    made = json.loads(json.dumps(document))
    part: Any = made
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    return (json.dumps(made, ensure_ascii=False, indent=1) + "\n").encode()


def refused(data: bytes, trust: bytes) -> int:
    with pytest.raises(Refused) as error:
        verify_proof(data, trust)
    return error.value.step


def bytes_are_refused(proof: bytes, trust: bytes, count: int, seed: int = 0) -> set[int]:
    dice, steps = random.Random(seed), set()
    for _ in range(count):
        data = mutated(proof, dice)
        if data != proof:
            steps.add(refused(data, trust))
    return steps


def members_are_refused(proof: bytes, trust: bytes, count: int, seed: int = 0) -> set[int]:
    dice, steps = random.Random(seed), set()
    document = json.loads(proof)
    everywhere = places(document)
    # Facts are most of the file; the other members get half of the attempts.
    around = [path for path in everywhere if path[0] != "logs" or path[2] not in {"facts", "nodes"}]
    for number in range(count):
        path = dice.choice(around if number % 2 else everywhere)
        value: Any = document
        for name in path:
            value = value[name]
        data = changed(document, path, other(value, dice))
        if data != proof:
            steps.add(refused(data, trust))
    return steps


def test_bytes(proof: bytes, trust: bytes) -> None:
    assert bytes_are_refused(proof, trust, FAST) >= {1, 5}


def test_members(proof: bytes, trust: bytes) -> None:
    assert members_are_refused(proof, trust, FAST) >= {1, 2, 3, 4, 5}


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_bytes_in_full(proof: bytes, trust: bytes) -> None:
    assert bytes_are_refused(proof, trust, LONG, SEED) >= {1, 5}
    print(f"proofs: {LONG} changed bytes, seed {SEED}: all refused")  # noqa: T201


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_members_in_full(proof: bytes, trust: bytes) -> None:
    assert members_are_refused(proof, trust, LONG, SEED) >= {1, 2, 3, 4, 5}
    print(f"proofs: {LONG} changed members, seed {SEED}: all refused")  # noqa: T201


def test_every_member_around_the_facts(proof: bytes, trust: bytes) -> None:
    document = json.loads(proof)
    for path in places(document):
        if path[0] == "logs" and path[2] in {"facts", "nodes"}:
            continue
        part: Any = document
        for name in path:
            part = part[name]
        value = (
            part + 1 if isinstance(part, int) else f"{part[:-1]}{'A' if part[-1] != 'A' else 'B'}"
        )
        refused(changed(document, path, value), trust)


def test_facts_that_change_places(proof: bytes, trust: bytes) -> None:
    document = json.loads(proof)
    for log in document["logs"]:
        facts = log["facts"]
        if len(facts) > 1:
            facts[0]["data"], facts[1]["data"] = facts[1]["data"], facts[0]["data"]
            assert refused(changed(document, ("version",), 1), trust) == 5
            facts[0]["data"], facts[1]["data"] = facts[1]["data"], facts[0]["data"]
            facts.reverse()
            assert refused(changed(document, ("version",), 1), trust) == 5
            facts.reverse()


@pytest.mark.parametrize(
    "spelling",
    [
        lambda text: text.replace("\n", ""),
        lambda text: text + "\n",
        lambda text: text[:-1],
        lambda text: text.replace('"version": 1', '"version":1'),
        lambda text: text.replace('"version": 1', '"version": 1.0'),
        lambda text: text.replace('"version": 1', '"version": true'),
        lambda text: text.replace('"version": 1,', '"version": 1,\n "version": 1,'),
        lambda text: text.replace('"version": 1,', '"version": 1,\n "more": 1,'),
        lambda text: text.replace('"heliograph-proof"', '"heliograph\\u002dproof"'),
        lambda text: "\ufeff" + text,
        lambda text: "[" * 100_000,
        lambda text: '{"a": NaN}',
        lambda text: "null",
        lambda text: "",
    ],
)
def test_other_spellings(proof: bytes, trust: bytes, spelling: Any) -> None:
    text = spelling(proof.decode())
    assert refused(text.encode(), trust) == 1


def test_bytes_that_are_no_text(trust: bytes) -> None:
    assert refused(b"\xff\xfe", trust) == 1
    assert refused(b" " * (16 * 1024 * 1024 + 1), trust) == 1


def test_logs_in_another_order(proof: bytes, trust: bytes) -> None:
    document = json.loads(proof)
    document["logs"].reverse()
    assert refused(changed(document, ("version",), 1), trust) == 1
    document["logs"] = document["logs"][:1] * 2
    assert refused(changed(document, ("version",), 1), trust) == 1


def test_what_was_written_reads_back(proof: bytes) -> None:
    assert ProofFile.from_bytes(proof).to_bytes() == proof
