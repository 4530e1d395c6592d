"""Build the proof of an invoice out of whole streams. Pure.

The newest round whose end stands in ANCHORS anchors everything; facts that came after it do not
exist for the proof. The builder proves nothing: run `libs.proof.verify` on what it made.
"""

import base64
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stellar_sdk import xdr

from libs.events.anchoring import AnchorPrepared, HeadAnchored
from libs.events.jws import parse
from libs.events.membership import MemberRegistered
from libs.merkle import MerkleLog, ProofError, leaf_hash, multiproof, parse_checkpoint
from libs.proof.errors import NotProvable
from libs.proof.model import ProofFact, ProofFile, ProofLog, ProofRound, TrustFile
from libs.proof.rounds import origin_of, split_round, vkey_of
from libs.proof.select import Archive, StoredFact, Streams, select
from libs.stellar.encoding import decode as decode_xdr
from libs.stellar.encoding import header_hash


@dataclass(frozen=True, slots=True)
class AnchoredRound:
    """A round that ended well."""

    prepared: AnchorPrepared
    anchored: HeadAnchored
    sizes: Mapping[str, int]
    """Number of facts of each stream under its checkpoint."""


def deployment_of(streams: Streams) -> str:
    """The installation of which the streams are.

    Raises:
        NotProvable: There is no fact at all.
    """
    for facts in streams.values():
        if facts:
            source: str = json.loads(facts[0].data)["source"]
            return source.split("/")[1]
    raise NotProvable("there is no fact in any stream")


def rounds_of(streams: Streams) -> list[AnchoredRound]:
    """The rounds that ended well, oldest first."""
    deployment = deployment_of(streams)
    anchors = streams.get("ANCHORS", ())
    archive = Archive(deployment, {"ANCHORS": anchors}, {"ANCHORS": len(anchors)})
    prepared = {each.fact.round: each.fact for each in archive.all(AnchorPrepared)}
    return [
        AnchoredRound(prepared[each.fact.round], each.fact, _sizes(prepared[each.fact.round]))
        for each in archive.all(HeadAnchored)
    ]


def _sizes(prepared: AnchorPrepared) -> dict[str, int]:
    heads = (
        parse_checkpoint(note[: note.rindex("\n\n") + 1])
        for note in split_round(prepared.round_text).values()
    )
    return {head.origin.rpartition("/")[2]: head.size for head in heads}


def build_proof(streams: Streams, invoice_id: str) -> ProofFile:
    """Build the proof of an invoice under the newest round.

    Args:
        streams: Every fact stream from its first fact on, in order; ANCHORS among them.
        invoice_id: The invoice.

    Raises:
        NotProvable: No round has ended yet, or the newest one does not cover the invoice and all
            that it rests on.
    """
    rounds = rounds_of(streams)
    if not rounds:
        raise NotProvable("nothing is anchored yet: no round has ended")
    newest, deployment = rounds[-1], deployment_of(streams)
    archive = Archive(deployment, streams, newest.sizes)
    chosen: dict[str, dict[int, bytes]] = defaultdict(dict)
    for each in select(archive, invoice_id):
        chosen[each.stream][each.sequence - 1] = each.data
    logs = tuple(
        _log(deployment, stream, streams[stream], newest.sizes[stream], leaves)
        for stream, leaves in sorted(chosen.items())
    )
    return ProofFile(deployment=deployment, invoice=invoice_id, round=_round(newest), logs=logs)


def _log(
    deployment: str,
    stream: str,
    facts: Sequence[StoredFact],
    size: int,
    leaves: Mapping[int, bytes],
) -> ProofLog:
    log = MerkleLog(leaf_hash(each.data) for each in facts[:size])
    try:
        proof = multiproof(log, leaves, size)
    except ProofError as error:
        raise NotProvable(f"{stream}: {error.reason}") from error
    return ProofLog(
        stream=stream,
        origin=origin_of(deployment, stream),
        size=size,
        facts=tuple(
            ProofFact(index=index, data=leaves[index].decode("utf-8")) for index in proof.indices
        ),
        nodes=tuple(base64.b64encode(node).decode("ascii") for node in proof.nodes),
    )


def _round(found: AnchoredRound) -> ProofRound:
    prepared, anchored = found.prepared, found.anchored
    header = decode_xdr(xdr.LedgerHeader, anchored.header_xdr)
    return ProofRound(
        text=prepared.round_text,
        network=prepared.network,
        account=prepared.account,
        envelope_xdr=prepared.envelope_xdr,
        result_set_xdr=anchored.result_set_xdr,
        header_xdr=anchored.header_xdr,
        ledger=anchored.ledger,
        ledger_hash=header_hash(header).hex(),
        closed_at=anchored.closed_at,
    )


def trust_file(
    *,
    deployment: str,
    network: str,
    anchor_accounts: Iterable[str],
    log_keys: Iterable[str],
    first_approver: str,
    ledgers: Mapping[int, str] | None = None,
) -> TrustFile:
    """Write down whom to trust. Hand it on by another way than the proofs.

    Args:
        deployment: The installation.
        network: Passphrase of the network.
        anchor_accounts: Addresses whose anchors count.
        log_keys: Verifier keys of all logs; `log_keys_of` makes them of one public key.
        first_approver: Address from which all registrations descend.
        ledgers: Hashes of ledgers that were looked up in an independent source, by number.
    """
    return TrustFile(
        deployment=deployment,
        network=network,
        anchor_accounts=tuple(anchor_accounts),
        log_keys=tuple(log_keys),
        first_approver=first_approver,
        ledgers={str(number): known for number, known in (ledgers or {}).items()},
    )


def log_keys_of(deployment: str, streams: Iterable[str], public_key: bytes) -> tuple[str, ...]:
    """The verifier keys of all logs, when one key signs for all of them."""
    return tuple(vkey_of(deployment, stream, public_key) for stream in sorted(streams))


def first_approver_of(streams: Streams) -> str:
    """The address that signed the oldest registration: the first approver, as the streams say.

    Raises:
        NotProvable: Nobody is registered.
    """
    members = streams.get("MEMBERS", ())
    archive = Archive(deployment_of(streams), {"MEMBERS": members}, {"MEMBERS": len(members)})
    registered = archive.all(MemberRegistered)
    if not registered:
        raise NotProvable("nobody is registered")
    return parse(registered[0].fact.command, "hg-command+jws").kid
