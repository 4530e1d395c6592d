"""Batches: what a stretch of a stream adds to the tables. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol

from libs.events.envelope import decode
from libs.events.positions import fact_hash
from libs.eventstore import Stored
from libs.runtime.failures import BrokenLaw
from services.projection.rows import rows_of
from services.projection.table import Merge, Table, Values
from services.projection.tables import FACT_TOTAL, REFUSAL
from services.projection.views.refusals import refusal


class Batch:
    """Rows of consecutive messages, merged as far as they can be before they reach Postgres."""

    def __init__(self, stream: str, after: int) -> None:
        """Begin behind a position.

        Args:
            stream: The stream.
            after: The last sequence before this batch.
        """
        self.stream, self.after = stream, after
        self.sequence = after
        """Last sequence in it."""
        self.hash = ""
        """Hash of the message there."""
        self.last_at: datetime | None = None
        """Domain time of the fact there."""
        self.count = 0
        """Number of messages."""
        self._appended: dict[Table, list[Values]] = {}
        self._keyed: dict[Table, dict[Values, Values]] = {}

    def add(self, table: Table, values: Values) -> None:
        """Add one row."""
        if table.merge is Merge.APPEND:
            rows = self._appended.get(table)
            if rows is None:
                rows = self._appended[table] = []
            rows.append(values)
            return
        kept = self._keyed.setdefault(table, {})
        key = values[: table.key_count]
        before = kept.get(key) if table.merge is Merge.SUM else None
        kept[key] = values if before is None else (*key, before[-1] + values[-1])

    def end(self, messages: Sequence[Stored]) -> None:
        """Note where the messages of the batch end."""
        last = messages[-1]
        self.sequence, self.hash, self.count = last.sequence, fact_hash(last.data), len(messages)

    def join(self, later: "Batch") -> None:
        """Take in the batch that follows.

        Raises:
            BrokenLaw: It does not follow.
        """
        if later.stream != self.stream or later.after != self.sequence:
            raise BrokenLaw("batch-order", f"{later.stream} {later.after} after {self.sequence}")
        for table, rows in later._appended.items():  # noqa: SLF001 - the same class
            self._appended.setdefault(table, []).extend(rows)
        for table, kept in later._keyed.items():  # noqa: SLF001 - the same class
            for values in kept.values():
                self.add(table, values)
        self.sequence, self.hash, self.last_at = later.sequence, later.hash, later.last_at
        self.count += later.count

    def tables(self) -> Iterator[tuple[Table, Sequence[Values]]]:
        """Give every table that changes with its rows; appended ones in the stream's order."""
        yield from self._appended.items()
        for table, kept in self._keyed.items():
            yield table, list(kept.values())


class Source(Protocol):
    """A stream, and how its messages become rows."""

    stream: str
    """Name of the stream."""

    @property
    def subject(self) -> str | None:
        """Subjects that are read; `None` for all."""
        ...

    @property
    def is_of_facts(self) -> bool:
        """Tell whether it is a fact stream: no gap, every fact counted, one history for ever."""
        ...

    def batch(self, messages: Sequence[Stored], after: int) -> Batch:
        """Make the rows of consecutive messages."""
        ...


class FactSource:
    """A fact stream."""

    is_of_facts = True
    subject = None

    def __init__(self, stream: str, deployment: str) -> None:
        """Prepare to decode.

        Args:
            stream: Name of a fact stream.
            deployment: Id of the installation whose facts stand there.
        """
        self.stream, self._deployment = stream, deployment

    def batch(self, messages: Sequence[Stored], after: int) -> Batch:
        """Decode facts and make their rows.

        Raises:
            InvalidFact: Bytes that are no fact of this stream; the projector stops.
            BrokenLaw: A sequence is missing.
        """
        if messages[0].sequence != after + 1 or messages[-1].sequence != after + len(messages):
            raise BrokenLaw("gap", f"{self.stream}: {messages[0].sequence} follows {after}")
        stream, deployment = self.stream, self._deployment
        batch, totals = Batch(stream, after), Counter[str]()
        for message in messages:
            recorded = decode(
                deployment=deployment,
                stream=stream,
                sequence=message.sequence,
                subject=message.subject,
                data=message.data,
            )
            totals[recorded.fact.fact_name] += 1
            batch.last_at = recorded.envelope.time
            for table, values in rows_of(recorded):
                batch.add(table, values)
        for name, total in totals.items():
            batch.add(FACT_TOTAL, (stream, name, total))
        batch.end(messages)
        return batch


class RefusalSource:
    """REFUSALS: JSON from anyone, limited by age, so that positions have gaps."""

    is_of_facts = False
    stream = "REFUSALS"
    subject = "refusals.*.*"

    def batch(self, messages: Sequence[Stored], after: int) -> Batch:
        """Make a row of each message, whatever it holds."""
        batch = Batch(self.stream, after)
        for message in messages:
            batch.add(REFUSAL, refusal(message))
        batch.end(messages)
        return batch
