"""The two files: what a prover hands over, and whom the reader trusts. Strict, with one spelling.

A file is exactly the bytes that `to_bytes` writes for what it says: JSON, UTF-8, one space of
indentation, members in the order below, a newline at the end. Any other spelling of the same
content is refused, so that no byte of a proof can change unnoticed.

Formats: docs/formats/proof.md, docs/formats/trust.md.
"""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, ValidationError

from libs.events.anchoring import Base64Text
from libs.events.fact import Strict
from libs.events.ids import Address, HashHex, Id, Reference
from libs.events.quantities import Count, Instant, Ordinal

FILE_SIZE_MAX = 16 * 1024 * 1024
"""Largest file in bytes; a month of 15-minute intervals needs less than 1 MB."""

LOGS_MAX = 300
"""Most logs in one proof."""

FACTS_MAX = 50_000
"""Most facts of one log in one proof."""

NODES_MAX = 2_000_000
"""Most nodes of one log in one proof; the size of the file limits it first."""

Passphrase = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200)]
"""What names a Stellar network."""

StreamName = Annotated[
    str, StringConstraints(strict=True, pattern=r"^[A-Z]{1,20}(?:_[A-Za-z0-9_-]{1,64})?$")
]
"""Name of a fact stream."""

NodeText = Annotated[
    str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$")
]
"""A node of a tree: base64 of 32 bytes. The last letter has two bits that count nothing: zeros."""

VkeyText = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=400)]
"""A verifier key, `name+id+key`."""


class NotAFile(Exception):
    """The bytes are no file of the wanted kind."""


class _File(Strict):
    """What both files share: how they are written and read."""

    def to_bytes(self) -> bytes:
        """Write the file: the one spelling of its content."""
        content = self.model_dump(mode="json", exclude_none=True)
        return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode("utf-8")

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a file.

        Raises:
            NotAFile: It is too large, not UTF-8, not JSON, has a key twice, a member that is
                missing, unknown or wrong, or is spelt in another way.
        """
        if len(data) > FILE_SIZE_MAX:
            raise NotAFile(f"the file has more than {FILE_SIZE_MAX} bytes")
        try:
            document = json.loads(
                data.decode("utf-8"), object_pairs_hook=unique, parse_constant=_refuse_constant
            )
            found = cls.model_validate_json(json.dumps(document))
        except ValidationError as error:
            raise NotAFile(_first_fault(error)) from error
        except (ValueError, RecursionError) as error:
            raise NotAFile(f"the file is not the JSON that it should be: {error}") from error
        if found.to_bytes() != data:
            raise NotAFile("the file is not spelt as this format spells it")
        return found


class ProofFact(Strict):
    """One fact of a log."""

    index: Count
    """Its leaf: its place in the stream, less one."""
    data: Annotated[str, StringConstraints(strict=True, min_length=2, max_length=262_144)]
    """The stored bytes, as text."""


class ProofLog(Strict):
    """What is taken from one log."""

    stream: StreamName
    """The stream."""
    origin: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200)]
    """The origin of its checkpoint: `<deployment>/<stream>`."""
    size: Ordinal
    """Number of facts under the anchored checkpoint."""
    facts: Annotated[tuple[ProofFact, ...], Field(min_length=1, max_length=FACTS_MAX)]
    """The facts that the proof needs, by rising index."""
    nodes: Annotated[tuple[NodeText, ...], Field(max_length=NODES_MAX)]
    """What is needed beside them to work out the root, in the canonical order of
    `libs.merkle.MultiProof`."""


class ProofRound(Strict):
    """The round that anchors all of it, with the evidence."""

    text: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=65_536)]
    """The text of the round: the signed checkpoints of all logs."""
    network: Passphrase
    """Passphrase of the network."""
    account: Address
    """The anchor's account."""
    envelope_xdr: Base64Text
    """The signed transaction."""
    result_set_xdr: Base64Text
    """The ledger's `TransactionResultSet`."""
    header_xdr: Base64Text
    """The ledger's `LedgerHeader`."""
    ledger: Ordinal
    """The ledger."""
    ledger_hash: HashHex
    """Its hash."""
    closed_at: Instant
    """When it closed."""


class ProofFile(_File):
    """The proof of one invoice."""

    format: Literal["heliograph-proof"] = "heliograph-proof"
    """What this is."""
    version: Literal[1] = 1
    """Version of the format."""
    deployment: Id
    """The installation."""
    invoice: Reference
    """The invoice that is proved."""
    round: ProofRound
    """Where everything is anchored."""
    logs: Annotated[tuple[ProofLog, ...], Field(min_length=1, max_length=LOGS_MAX)]
    """What is taken from each log, in order of the stream's name."""


class TrustFile(_File):
    """Whom the reader trusts. It comes on another way than the proof."""

    format: Literal["heliograph-trust"] = "heliograph-trust"
    """What this is."""
    version: Literal[1] = 1
    """Version of the format."""
    deployment: Id
    """The installation that it speaks of."""
    network: Passphrase
    """Passphrase of the network on which its anchors stand."""
    anchor_accounts: Annotated[tuple[Address, ...], Field(min_length=1, max_length=16)]
    """Accounts whose anchors count."""
    log_keys: Annotated[tuple[VkeyText, ...], Field(min_length=1, max_length=2 * LOGS_MAX)]
    """Verifier keys of the logs; the name of a key is the origin of its log."""
    first_approver: Address
    """Key of the member from whom all registrations descend."""
    ledgers: dict[
        Annotated[str, StringConstraints(strict=True, pattern=r"^[1-9][0-9]{0,15}$")], HashHex
    ] = Field(default_factory=dict)
    """Hashes of ledgers that were looked up elsewhere, by their number. May be empty."""


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its members, for `json.loads`.

    Raises:
        ValueError: A key stands twice.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in fault["loc"]) or "the file"
    return f"{place}: {fault['msg']}"
