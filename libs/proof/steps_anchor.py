"""Steps 2 to 6: from the trusted keys to the bytes of every fact. Pure."""

import base64
import hashlib
import json
from datetime import UTC, datetime

from libs.events.envelope import decode
from libs.events.errors import InvalidFact
from libs.events.positions import Position, parse_cause
from libs.merkle import (
    Checkpoint,
    ProofError,
    leaf_hash,
    parse_checkpoint,
    parse_vkey,
    verify_multiproof,
)
from libs.proof.case import Case, Step, require, same
from libs.proof.errors import ProofFailed
from libs.proof.model import ProofLog, unique
from libs.proof.rounds import origin_of, round_sha256, split_round, verify_round
from libs.stellar.errors import EvidenceError
from libs.stellar.evidence import verify_anchor_evidence, verify_close_value


def check_trust(case: Case) -> Step:
    """Step 2: the trust file speaks of this installation, network and account, and of all logs."""
    trust, file = case.trust, case.file
    if trust is None:
        case.not_covered.append(
            "No trust file was given: whose log keys, anchor account and first approver these are "
            "was not established."
        )
        return Step(2, "trust", "no trust file: keys and accounts are taken as they are", {})
    require(2, trust.deployment == file.deployment, "the trust file is for another deployment")
    require(2, trust.network == file.round.network, "the anchor is on another network")
    account = file.round.account
    require(2, account in trust.anchor_accounts, f"account {account} is not trusted to anchor")
    keys = trusted_keys(case)
    missing = [log.origin for log in file.logs if log.origin not in keys]
    require(2, not missing, f"no trusted key for {', '.join(missing)}")
    checked = "network, anchor account and the keys of all logs are those of the trust file"
    return Step(2, "trust", checked, {"log keys": len(file.logs)})


def trusted_keys(case: Case) -> dict[str, str]:
    """The verifier keys of the trust file by origin.

    Raises:
        ProofFailed: One cannot be read, or a log has two.
    """
    keys: dict[str, str] = {}
    for vkey in case.trust.log_keys if case.trust else ():
        try:
            name, _ = parse_vkey(vkey)
        except ProofError as error:
            raise ProofFailed(2, f"a key of the trust file: {error.reason}") from error
        require(2, name not in keys, f"the trust file has two keys for {name}")
        keys[name] = vkey
    return keys


def check_ledger(case: Case) -> Step:
    """Step 3: the round's text is the memo of a transaction in the ledger that is named."""
    anchor = case.file.round
    try:
        found = verify_anchor_evidence(
            memo_hash=round_sha256(anchor.text),
            envelope_xdr=anchor.envelope_xdr,
            result_set_xdr=anchor.result_set_xdr,
            header_xdr=anchor.header_xdr,
            network_passphrase=anchor.network,
            anchor_account=anchor.account,
        )
        validator = verify_close_value(anchor.header_xdr, anchor.network)
    except EvidenceError as error:
        raise ProofFailed(3, f"evidence, check {error.step}: {error.reason}") from error
    same(
        3,
        "the ledger",
        (
            ("number", anchor.ledger, found.ledger),
            ("hash", anchor.ledger_hash, found.header_hash),
            ("close time", anchor.closed_at, datetime.fromtimestamp(found.closed_at_unix, UTC)),
        ),
    )
    known = case.trust.ledgers.get(str(anchor.ledger)) if case.trust else None
    if known is None:
        case.not_covered.append(
            f"That ledger {anchor.ledger} with hash {anchor.ledger_hash} is the network's own: "
            f"compare the hash with an independent source. Validator {validator} proposed it."
        )
    else:
        require(3, known == anchor.ledger_hash, f"the trust file knows another {anchor.ledger}")
    checked = "memo, signature, result set and header belong together"
    return Step(3, "ledger", checked, {"ledger": anchor.ledger})


def check_checkpoints(case: Case) -> tuple[Step, dict[str, Checkpoint]]:
    """Step 4: the checkpoint of every log stands in the round, signed by the trusted key."""
    file, keys = case.file, trusted_keys(case)
    try:
        notes = split_round(file.round.text)
        signed = verify_round(file.round.text, keys)
        found = {
            origin: parse_checkpoint(note[: note.rindex("\n\n") + 1])
            for origin, note in notes.items()
        }
    except ProofError as error:
        raise ProofFailed(4, f"the round: {error.reason}") from error
    for log in file.logs:
        require(
            4, log.origin == origin_of(file.deployment, log.stream), f"{log.stream}: wrong origin"
        )
        require(4, log.origin in found, f"{log.origin} has no checkpoint in the round")
        require(4, case.trust is None or log.origin in signed, f"{log.origin} is not signed")
        size = found[log.origin].size
        require(4, log.size == size, f"{log.origin}: size {log.size}, the checkpoint says {size}")
    how = "signed by the trusted keys" if case.trust else "found; signatures not judged"
    checked = f"the checkpoints of all logs stand in the round, {how}"
    return Step(4, "checkpoints", checked, {"checkpoints": len(file.logs)}), found


def check_inclusion(case: Case, checkpoints: dict[str, Checkpoint]) -> Step:
    """Step 5: the bytes of every fact are in their log."""
    facts = nodes = 0
    for log in case.file.logs:
        leaves = {each.index: leaf_hash(each.data.encode("utf-8")) for each in log.facts}
        indices = [each.index for each in log.facts]
        require(5, indices == sorted(leaves), f"{log.stream}: facts are not in rising order")
        try:
            verify_multiproof(leaves, log.size, _nodes(log), checkpoints[log.origin].root)
        except ProofError as error:
            raise ProofFailed(5, f"{log.stream}: {error.reason}") from error
        facts, nodes = facts + len(leaves), nodes + len(log.nodes)
    checked = "the bytes of every fact lead to the root of their log"
    return Step(5, "inclusion", checked, {"facts": facts, "nodes": nodes})


def _nodes(log: ProofLog) -> list[bytes]:
    return [base64.b64decode(node) for node in log.nodes]


def check_facts(case: Case) -> Step:
    """Step 6: every fact decodes, belongs where it stands, and positions agree with bytes."""
    for log in case.file.logs:
        for each in log.facts:
            data = each.data.encode("utf-8")
            try:
                case.add(
                    decode(
                        deployment=case.file.deployment,
                        stream=log.stream,
                        sequence=each.index + 1,
                        subject=_subject(each.data),
                        data=data,
                    )
                )
            except (InvalidFact, ValueError) as error:
                raise ProofFailed(6, f"{log.stream} {each.index + 1}: {error}") from error
    positions = _check_positions(case)
    checked = "every fact is of a known kind and stands where it says"
    return Step(6, "facts", checked, {"facts": len(case.facts), "positions": positions})


def _subject(text: str) -> str:
    """The subject that a document names; `decode` checks that it is the right one."""
    document = json.loads(text, object_pairs_hook=unique)
    subject = document.get("subject") if isinstance(document, dict) else None
    if not isinstance(subject, str):
        raise ValueError("the document names no subject")  # noqa: TRY004 - one class for all
    return subject


def _check_positions(case: Case) -> int:
    """Compare every named position of an included fact with that fact's bytes."""
    count = 0
    hashes: dict[tuple[str, int], str] = {}
    for recorded in list(case.facts.values()):
        cause, _ = parse_cause(recorded.envelope.cause)
        for position in (*case.seen(recorded).values(), *((cause,) if cause else ())):
            count += _check_position(case, hashes, position)
    return count


def _check_position(case: Case, hashes: dict[tuple[str, int], str], position: Position) -> int:
    place = (position.stream, position.sequence)
    known = case.facts.get(place)
    if known is None:
        return 0
    if place not in hashes:
        hashes[place] = hashlib.sha256(known.data).hexdigest()[: len(position.hash)]
    require(6, hashes[place] == position.hash, f"another fact was seen at {position}")
    return 1
