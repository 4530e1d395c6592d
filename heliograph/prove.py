"""`heliograph prove`: write the proof of an invoice, from the streams, as any subscriber can.

It reads as the auditor, who may write nothing, and checks the file itself before it writes it.
"""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heliograph.errors import StackError

if TYPE_CHECKING:
    from libs.eventstore import Stored
    from libs.proof.model import TrustFile

API_PREFIX = "FACTS.API"
"""Prefix under which accounts import the event store's requests (decision 0002)."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the streams are read, and what is known of the installation."""

    url: str
    """The broker."""
    user: str
    """A user who may read."""
    password: str
    """His password."""
    partitions: int
    """Number of partitions."""
    log_seed: bytes | None
    """Seed of the logs' key; only a data folder has it."""


def prove(  # noqa: PLR0913, PLR0917 - the options of the command
    invoice: Annotated[str, typer.Argument(help="The invoice, such as home-2016-07.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the proof is written.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Data folder of an embedded stack that is running.", file_okay=False),
    ] = None,
    nats: Annotated[str | None, typer.Option(help="URL of the broker.")] = None,
    user: Annotated[str, typer.Option(help="User at the broker, who may read.")] = "auditor",
    password: Annotated[
        str, typer.Option(envvar="HELIOGRAPH_NATS_PASSWORD", help="His password.")
    ] = "",
    book: Annotated[str, typer.Option(help="The book.")] = "pilot",
    partitions: Annotated[int, typer.Option(min=1, max=256, help="Number of partitions.")] = 1,
    trust_out: Annotated[
        Path | None,
        typer.Option(
            help="Write a trust file too, of what this installation says of itself. Hand it on by "
            "another way than proofs.",
        ),
    ] = None,
    log_key: Annotated[
        list[str] | None,
        typer.Option(help="Verifier key of a log for the trust file; repeatable. Not with --data."),
    ] = None,
) -> None:
    """Write the proof of an invoice under the newest anchored round, and check it."""
    if (data is None) == (nats is None):
        raise StackError("Say where to read: either --data FOLDER or --nats URL.")
    if data is not None:
        source = _source_of(data)
    else:
        assert nats is not None
        source = Source(nats, user, password, partitions, None)
    streams = asyncio.run(_read(source, book))
    proof = _checked_proof(streams, invoice, out)
    if trust_out is not None:
        trust = _trust(streams, source, log_key or [])
        _checked_trust(proof, trust)
        trust_out.write_bytes(trust.to_bytes())
        typer.echo(f"{trust_out}: whom this installation asks you to trust; check it elsewhere.")


def _checked_proof(streams: Mapping[str, Sequence["Stored"]], invoice: str, out: Path) -> bytes:
    """Build, verify, write."""
    from heliograph.verify import sentence_of  # noqa: PLC0415 - XDR takes a while to load
    from libs.proof.build import build_proof  # noqa: PLC0415 - as above
    from libs.proof.errors import NotProvable  # noqa: PLC0415 - as above
    from libs.proof.verify import Refused, verify_proof  # noqa: PLC0415 - as above

    try:
        proof = build_proof(streams, invoice).to_bytes()
        result = verify_proof(proof)
    except NotProvable as error:
        raise StackError(f"There is no proof of {invoice} yet: {error}.") from error
    except Refused as error:
        raise StackError(
            f"The streams do not prove {invoice}; nothing was written. {error.message}, "
            f"in step {error.step}."
        ) from error
    out.write_bytes(proof)
    typer.echo(f"{out}: {len(proof):,} bytes. {sentence_of(result)}")
    return proof


def _checked_trust(proof: bytes, trust: "TrustFile") -> None:
    from libs.proof.verify import Refused, verify_proof  # noqa: PLC0415 - as above

    try:
        verify_proof(proof, trust.to_bytes())
    except Refused as error:
        raise StackError(f"The trust file does not fit the proof: {error.message}.") from error


def _source_of(data: Path) -> Source:
    """What the data folder of a running stack says."""
    from heliograph.credentials import Credentials  # noqa: PLC0415 - only when it is used
    from heliograph.folder import Folder  # noqa: PLC0415 - as above

    folder = Folder(data.absolute())
    state, credentials = folder.load_state(), Credentials.load(folder.credentials)
    try:
        return Source(
            url=f"nats://127.0.0.1:{state['ports']['nats']}",
            user="auditor",
            password=credentials.passwords["auditor"],
            partitions=int(state["partitions"]),
            log_seed=base64.b64decode(credentials.seeds["anchor-log"]),
        )
    except KeyError as error:
        raise StackError(f"{data} is not the data folder of a stack: no {error}.") from error


async def _read(source: Source, book: str) -> dict[str, list["Stored"]]:
    """Every fact of every stream.

    Raises:
        StackError: The broker is away, or refuses.
    """
    from libs.events.subjects import FAMILIES  # noqa: PLC0415 - only when it is used
    from libs.eventstore import EventStoreError, JetStreamStore  # noqa: PLC0415 - as above

    parts = {
        "partition": [str(part) for part in range(source.partitions)],
        "book": [book],
        "nothing": [""],
    }
    names = [f.stream(part) for f in FAMILIES.values() for part in parts[f.parted_by]]
    streams: dict[str, list[Stored]] = {}
    try:
        store = await JetStreamStore.connect(
            source.url, source.user, source.password, "heliograph-prove", api_prefix=API_PREFIX
        )
        try:
            for name in names:
                end, streams[name] = await store.end(name), []
                if end:
                    async for batch in store.read(name, until=end):
                        streams[name] += batch
        finally:
            await store.close()
    except EventStoreError as error:
        raise StackError(f"The streams at {source.url} cannot be read: {error}.") from error
    return streams


def _trust(
    streams: Mapping[str, Sequence["Stored"]], source: Source, log_keys: Sequence[str]
) -> "TrustFile":
    """What this installation says of itself."""
    from nacl.signing import SigningKey  # noqa: PLC0415 - only when it is used

    from libs.proof.build import (  # noqa: PLC0415 - as above
        deployment_of,
        first_approver_of,
        log_keys_of,
        rounds_of,
        trust_file,
    )

    deployment = deployment_of(streams)
    if source.log_seed is not None:
        public_key = bytes(SigningKey(source.log_seed).verify_key)
        log_keys = log_keys_of(deployment, streams, public_key)
    if not log_keys:
        raise StackError("A trust file needs the keys of the logs: --log-key, as the anchor says.")
    anchor = rounds_of(streams)[-1].prepared
    return trust_file(
        deployment=deployment,
        network=anchor.network,
        anchor_accounts=[anchor.account],
        log_keys=log_keys,
        first_approver=first_approver_of(streams),
    )
