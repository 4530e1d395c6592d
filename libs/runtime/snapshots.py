"""Snapshots of what a writer has folded, so that a start need not replay whole streams.

A snapshot is only ever a shortcut. It names the position of the own stream and of every input with
the hash of the fact there, and the hash of the code that folds. If any of that is not so at the
start, or a byte of the file is missing, it is not used, the log says why, and the streams are
replayed. Losing all snapshots costs time, nothing else.

They stand in a blob store (a folder, S3, Azure, Google), one object each, written in one go:
`<deployment>/<stream>/<position>.jsonl`, lines of JSON: a head, up to 1,000 rows of a section per
line, and the SHA-256 of all before. Rows are made and written out in slices on a thread, from
copies, while the writer goes on.

Source: eventing contract, section 3 (a snapshot names ...; any mismatch means replay).
"""

import asyncio
import hashlib
import importlib.util
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from libs.events.positions import Position, fact_hash, write_seen
from libs.eventstore import EventStore
from libs.rules.dumps import Dumped, Loaded
from libs.runtime.folding import Snapshot
from libs.runtime.logs import get_logger

if TYPE_CHECKING:
    from obstore.store import ObjectStore

FORMAT: Final = 1
"""Of the file; another is not read."""

KEPT: Final = 2
"""Snapshots that are kept of each stream, the newest."""

ROWS_PER_LINE: Final = 1_000
"""Most rows of a line."""

SLICE_BYTES: Final = 16 << 10
"""Short lines are joined up to this for one slice, which a thread makes before the loop's turn."""

SLICE_PAUSE_S: Final = 0.001
"""Seconds between two slices: the interpreter lock is the loop's first."""

SUFFIX: Final = ".jsonl"
"""End of a snapshot's name."""

_log = get_logger(__name__)


class Unfit(Exception):
    """A snapshot cannot be used; the text says why."""


def code_hash(*packages: str) -> str:
    """Hash the source of packages: what folded a state must be what goes on folding it.

    Args:
        packages: Names such as `libs.rules`; all modules below them count.
    """
    digest = hashlib.sha256()
    for package in packages:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ValueError(f"{package} is no package")
        for folder in map(Path, spec.submodule_search_locations):
            for file in sorted(folder.rglob("*.py")):
                source = file.read_bytes()
                name = f"{package}/{file.relative_to(folder).as_posix()}"
                digest.update(f"{name} {len(source)}\n".encode() + source)
    return digest.hexdigest()


class Snapshots:
    """The snapshots of one service."""

    def __init__(self, *, url: str, deployment: str, code: str, every: int) -> None:
        """Open the blob store.

        Args:
            url: `file:///folder` (made when missing), `s3://bucket/path`, `az://...`, `gs://...`;
                keys of a cloud come from its usual environment variables.
            deployment: Id of the installation.
            code: See `code_hash`.
            every: Facts that are folded between two snapshots, at least 1.

        Raises:
            ValueError: The URL names no store.
            OSError: The folder cannot be made.
        """
        try:
            self._store = _open(url)
        except BaseError as error:
            raise ValueError(str(error).partition("\n")[0]) from error
        self._deployment, self._code = deployment, code
        self.every = every
        """Facts that are folded between two snapshots."""

    async def save(self, snapshot: Snapshot) -> None:
        """Write a snapshot and remove those that are too old; what goes wrong is only logged."""
        stream, sequence = snapshot.own.stream, snapshot.own.sequence
        path = f"{self._folder(stream)}{sequence:016d}{SUFFIX}"
        try:
            parts = [some async for some in _in_slices(_lines(snapshot, self._code))]
            await obstore.put_async(self._store, path, b"".join(parts))
            before = [each for each in await self._paths(stream) if each < path]
            # One that claims to be further on is of a history that is no more.
            for other in set(await self._paths(stream)) - {path, *before[: KEPT - 1]}:
                await obstore.delete_async(self._store, other)
        except Exception as error:  # noqa: BLE001 - a shortcut that fails must stop nobody
            _log.warning("snapshot-not-written", stream=stream, reason=str(error)[:300])
        else:
            size = sum(map(len, parts))
            _log.info("snapshot-written", stream=stream, sequence=sequence, size_bytes=size)

    async def newest(
        self, stream: str, inputs: Sequence[str], facts: EventStore
    ) -> "tuple[Snapshot, Loaded] | None":
        """Give the newest snapshot that fits, with its rows; the log says why others do not.

        Args:
            stream: The own stream.
            inputs: All inputs that are followed now.
            facts: Where the hashes are compared.
        """
        try:
            paths = await self._paths(stream)
        except (BaseError, OSError) as error:
            _log.warning("snapshot-not-used", stream=stream, reason=str(error)[:300])
            return None
        for path in paths:
            try:
                found, rows = await self._read(path)
                await _compare(found, stream, inputs, facts)
            except (Unfit, BaseError, OSError) as error:
                _log.warning(
                    "snapshot-not-used", stream=stream, snapshot=path, reason=str(error)[:300]
                )
            else:
                _log.info("snapshot-used", stream=stream, sequence=found.own.sequence)
                return found, rows
        _log.info("snapshot-none", stream=stream, detail="the stream is replayed in full")
        return None

    async def remove(self, snapshot: Snapshot) -> None:
        """Remove one that could not be loaded, so that the next start does without it."""
        name = f"{snapshot.own.sequence:016d}{SUFFIX}"
        await obstore.delete_async(self._store, f"{self._folder(snapshot.own.stream)}{name}")

    async def _read(self, path: str) -> tuple[Snapshot, Loaded]:
        answer = await obstore.get_async(self._store, path)
        data = bytes(await answer.bytes_async())
        return await asyncio.to_thread(_parse, data, self._code)

    async def _paths(self, stream: str) -> list[str]:
        """Give the names of all snapshots of a stream, the newest first."""
        prefix = self._folder(stream)
        found = await obstore.list(self._store, prefix).collect_async()
        names = [str(each["path"]) for each in found]
        return sorted((name for name in names if name.endswith(SUFFIX)), reverse=True)

    def _folder(self, stream: str) -> str:
        return f"{self._deployment}/{stream}/"


def _open(url: str) -> "ObjectStore":
    parts = urlsplit(url)
    if parts.scheme == "file":
        return LocalStore(unquote(parts.path), mkdir=True)
    return from_url(url)


def _lines(snapshot: Snapshot, code: str) -> Iterator[bytes]:
    """Make the lines of a file; rows are made here, so this runs on a thread."""
    digest = hashlib.sha256()
    head = {
        "format": FORMAT,
        "own": str(snapshot.own),
        "inputs": write_seen(snapshot.inputs),
        "code": code,
    }
    for content in _contents(head, snapshot.sections):
        line = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        digest.update(line)
        yield line
    yield json.dumps({"sha256": digest.hexdigest()}).encode() + b"\n"


def _contents(head: dict[str, Any], sections: Dumped) -> Iterator[Any]:
    yield head
    for name, rows in sections.items():
        rest: Iterable[Any] = iter(rows)
        yield [name, *islice(rest, ROWS_PER_LINE)]
        while some := list(islice(rest, ROWS_PER_LINE)):
            yield [name, *some]


async def _in_slices(lines: Iterator[bytes]) -> AsyncIterator[bytes]:
    while some := await asyncio.to_thread(_slice, lines):
        yield some
        await asyncio.sleep(SLICE_PAUSE_S)


def _slice(lines: Iterator[bytes]) -> bytes:
    """Join lines up to a slice: a fold has dozens of short sections, and each pause costs time."""
    some: list[bytes] = []
    size = 0
    for line in lines:
        some.append(line)
        size += len(line)
        if size >= SLICE_BYTES:
            break
    return b"".join(some)


def _parse(data: bytes, code: str) -> tuple[Snapshot, Loaded]:
    """Take a file apart.

    Raises:
        Unfit: It is cut or changed, or other code wrote it.
    """
    body, told = _parted(data)
    if told != hashlib.sha256(body).hexdigest():
        raise Unfit("its bytes are not as they were written")
    head, *rest = map(json.loads, body.removesuffix(b"\n").split(b"\n"))
    if head["format"] != FORMAT:
        raise Unfit(f"its format is {head['format']}, not {FORMAT}")
    if head["code"] != code:
        raise Unfit("it was folded by other code")
    sections: dict[str, list[Any]] = {}
    for name, *rows in rest:
        sections.setdefault(name, []).extend(rows)
    inputs = tuple(map(Position.parse, head["inputs"].split()))
    return Snapshot(Position.parse(head["own"]), inputs, sections), sections


def _parted(data: bytes) -> tuple[bytes, str]:
    """Part the lines from the hash that follows them."""
    body, _, last = data.removesuffix(b"\n").rpartition(b"\n")
    try:
        told = json.loads(last)["sha256"]
    except (ValueError, LookupError, TypeError):
        told = None
    if not body or not data.endswith(b"\n") or not isinstance(told, str):
        raise Unfit("its end is missing")
    return body + b"\n", told


async def _compare(
    snapshot: Snapshot, stream: str, inputs: Sequence[str], facts: EventStore
) -> None:
    """See that the streams are the ones that were folded.

    Raises:
        Unfit: They are not.
    """
    followed = {position.stream for position in snapshot.inputs}
    if snapshot.own.stream != stream or followed != set(inputs):
        raise Unfit(f"it followed {', '.join(sorted(followed))}")
    for position in (snapshot.own, *snapshot.inputs):
        if position.sequence == 0:
            continue
        stored = await facts.get(position.stream, position.sequence)
        if stored is None:
            raise Unfit(f"{position.stream} has nothing at {position.sequence}")
        if fact_hash(stored.data) != position.hash:
            raise Unfit(f"another fact stands at {position}")
