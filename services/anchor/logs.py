"""The logs: one Merkle tree per stream, and what was published of each. Pure.

A leaf is the hash of stored bytes; fact n of a stream is leaf n - 1. A head that was once published
binds the anchor for ever: it signs a later head of the same log only when the log it holds in
memory still has the published head inside.

Source: RFC 6962; design, section 7.
"""

from collections.abc import Iterable, Mapping

from libs.merkle import Checkpoint, MerkleLog, leaf_hash
from libs.proof.rounds import origin_of
from libs.runtime.failures import BrokenLaw


class Logs:
    """The logs of all streams of one deployment."""

    def __init__(self, deployment: str, streams: Iterable[str]) -> None:
        """Begin with empty logs.

        Args:
            deployment: Id of the installation.
            streams: Every fact stream, the anchor's own included.
        """
        self._deployment = deployment
        self._logs = {stream: MerkleLog() for stream in streams}

    def add(self, stream: str, data: bytes) -> None:
        """Add the next fact of a stream.

        Args:
            stream: Its stream.
            data: The stored bytes.
        """
        self._logs[stream].append_leaf_hash(leaf_hash(data))

    def sizes(self) -> dict[str, int]:
        """Number of facts of each stream."""
        return {stream: log.size for stream, log in self._logs.items()}

    def heads(self) -> tuple[Checkpoint, ...]:
        """Size and root of every log as it is now, in order of their origin."""
        return tuple(
            Checkpoint(origin_of(self._deployment, stream), log.size, log.root())
            for stream, log in sorted(self._logs.items())
        )

    def check(self, published: Mapping[str, Checkpoint]) -> None:
        """Make sure that every published head is the head that the logs had at that size.

        Args:
            published: The heads of the last signed round, by origin.

        Raises:
            BrokenLaw: A published log is not followed any more, or its stream now ends before the
                published size, or it has another history. Nothing may be signed then.
        """
        known = {origin_of(self._deployment, stream): log for stream, log in self._logs.items()}
        for origin, head in published.items():
            log = known.get(origin)
            if log is None:
                raise BrokenLaw("log-dropped", f"{origin} was published and is not followed now")
            if log.size < head.size:
                raise BrokenLaw(
                    "log-shrunk", f"{origin} has {log.size} facts, {head.size} were published"
                )
            if log.root(head.size) != head.root:
                raise BrokenLaw(
                    "log-rewritten", f"the first {head.size} facts of {origin} are not those signed"
                )
