"""The end of the demonstration: an invoice proves itself, from two files and nothing else."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

from nacl.signing import SigningKey

from heliograph.demo import cast
from heliograph.demo.screen import Screen
from heliograph.environment import DEVNET_PASSPHRASE
from heliograph.stack import Stack
from heliograph.verify import tell
from libs.eventstore import Stored
from libs.proof.build import build_proof, log_keys_of, rounds_of, trust_file
from libs.proof.verify import Refused, Verdict, verify_proof


def prove_last(
    folder: Path,
    stack: Stack,
    streams: Mapping[str, Sequence[Stored]],
    invoice: str,
    screen: Screen,
) -> list[str]:
    """Write the proof of an invoice and a trust file, and verify the one by the other.

    The trust file comes from the play's own keys, not from what the streams claim.

    Returns:
        What went wrong: nothing, or the step that refused.
    """
    public_key = bytes(
        SigningKey(base64.b64decode(stack.credentials.seeds["anchor-log"])).verify_key
    )
    trust = trust_file(
        deployment=cast.DEPLOYMENT,
        network=DEVNET_PASSPHRASE,
        anchor_accounts=[rounds_of(streams)[-1].prepared.account],
        log_keys=log_keys_of(cast.DEPLOYMENT, streams, public_key),
        first_approver=cast.key_of("approver").address,
    )
    proof_path, trust_path = folder / f"{invoice}.proof.json", folder / "trust.json"
    proof_path.write_bytes(build_proof(streams, invoice).to_bytes())
    trust_path.write_bytes(trust.to_bytes())
    screen.say(
        f"The proof of invoice {invoice} has {proof_path.stat().st_size:,} bytes. Verifying:"
    )
    try:
        result = verify_proof(proof_path.read_bytes(), trust_path.read_bytes())
    except Refused as refused:
        return [f"proof of {invoice}: step {refused.step}: {refused.message}"]
    tell(result)
    return [] if result.verdict is Verdict.PROVED else [f"proof of {invoice}: {result.verdict}"]
