"""One consumer on the server, pulled from at full speed, that ends at the first irregularity.

Nothing is repaired in here: whatever goes wrong ends the session, and `libs.eventstore.reading`
begins the next one.
"""

import asyncio
import json
import logging
import secrets
from typing import Any, Final

from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from libs.eventstore.errors import (
    GapFound,
    NotPermitted,
    UnexpectedAnswer,
)
from libs.eventstore.link import Link
from libs.eventstore.model import Stored
from libs.eventstore.spec import NANOSECONDS
from libs.eventstore.wire import parse_headers, parse_position, parse_stored_headers

PULL_COUNT: Final = 1_000
"""Messages asked for in one request. Source: contract on eventing, section 8."""
PULLS_MAX: Final = 3
"""Requests under way at once; also bounds what is held for a slow caller, to 3,000 messages."""
PULL_BYTES_MAX: Final = 8 * 1024 * 1024
"""Bytes asked for in one request; bounds what is held for a slow caller, to 24 MiB."""
PULL_EXPIRES_S: Final = 30
"""Seconds after which the server drops a request that found nothing."""
INACTIVE_S: Final = 60
"""Seconds after which the server removes a consumer that nobody asks."""
CONSUMERS_MAX_REACHED: Final = 10026
"""Error code for a stream with as many consumers as it takes; idle ones go by themselves."""
BATCH_OVER: Final = frozenset({"Batch Completed", "Message Size Exceeds MaxBytes"})
"""What the server says with status 409 when one request is over and the consumer goes on."""
STATUS_LINE: Final = b"NATS/1.0 "
"""Beginning of a block of headers that is a word of the server and not a message."""

_LOG: Final = logging.getLogger("heliograph.eventstore")


class SessionOver(Exception):
    """The session cannot go on; the next one begins where it ended.

    Attributes:
        nobody: The subject that nobody serves, when this is why.
    """

    def __init__(self, why: str, nobody: str | None = None) -> None:
        super().__init__(why)
        self.nobody = nobody


class Session:
    """One consumer on the server, feeding one list in this process."""

    def __init__(
        self, link: Link, stream: str, after: int, subject: str | None, wanted: int | None
    ) -> None:
        self.handed = 0
        """Messages given to the caller."""
        self.pending_at_start = 0
        """Messages that matched when the consumer was made."""
        self._link = link
        self._stream = stream
        self._position = after
        self._subject = subject
        self._wanted = wanted
        self._received = 0
        self._name = f"r{secrets.token_hex(8)}"
        self._epoch = link.epoch
        self._append_id_bytes, self._append_id = b"", ""
        self._buffer: list[Stored] = []
        self._wake = asyncio.Event()
        self._over: Exception | None = None
        self._asked = 0
        self._pulls = 0
        self._heard_at = link.now()
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._made = False
        self._heartbeat = False
        self._more = f"{link.settings.api_prefix}.CONSUMER.MSG.NEXT.{stream}.{self._name}"

    async def open(self, policy: dict[str, Any], deadline: float) -> None:
        """Make the consumer and ask for the first messages.

        Args:
            policy: `deliver_policy` and what belongs to it.
            deadline: Loop time (s).
        """
        link = self._link
        link.listeners.add(self._wake.set)
        self._inbox = link.client.new_inbox()
        self._subscription = await link.client.tap(f"{self._inbox}.*", self._on_message)
        config: dict[str, Any] = {
            "name": self._name,
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": INACTIVE_S * NANOSECONDS,
            **policy,
        }
        name = f"CONSUMER.CREATE.{self._stream}.{self._name}"
        if self._subject is not None:
            config["filter_subject"] = self._subject
            name += f".{self._subject}"
        self._made = True
        answer = await link.api(
            name, self._stream, {"stream_name": self._stream, "config": config}, deadline
        )
        if "error" in answer:
            if answer["error"].get("err_code") == CONSUMERS_MAX_REACHED:
                self._made = False
                raise SessionOver(f"{self._stream} has all the consumers that it takes")
            raise UnexpectedAnswer(f"consumer on {self._stream}: {answer['error']}")
        self.pending_at_start = int(answer.get("num_pending", 0))
        self._heard_at = link.now()
        await self._pull()

    async def next(self, patience_s: float) -> list[Stored]:
        """Give what has arrived, at most 1,000 messages.

        Args:
            patience_s: Seconds to wait for messages.

        Returns:
            Messages in order; nothing after a heartbeat, or when patience is over.

        Raises:
            SessionOver: The session cannot go on.
            GapFound: A position is missing in the store.
        """
        quiet = False
        while not self._buffer and not quiet:
            quiet = await self._wait(patience_s)
        batch, self._buffer = self._buffer[:PULL_COUNT], self._buffer[PULL_COUNT:]
        self.handed += len(batch)
        if not self._over:
            await self._pull()
        return batch

    async def _wait(self, patience_s: float) -> bool:
        """Wait for something to happen, and tell whether it was a sign that there is nothing."""
        if self._over is not None:
            raise self._over
        if self._epoch != self._link.epoch:
            raise SessionOver("connection lost")
        if self._more.lower() in self._link.denied:
            raise NotPermitted(self._more, "the server forbids it")
        await self._pull()
        left_s = self._link.settings.silence_max_s - (self._link.now() - self._heard_at)
        self._wake.clear()
        self._heartbeat = False
        try:
            async with asyncio.timeout(min(left_s, patience_s)):
                await self._wake.wait()
        except TimeoutError:
            if self._link.now() - self._heard_at >= self._link.settings.silence_max_s:
                raise SessionOver("no heartbeat") from None
            return True
        return self._heartbeat

    async def close(self) -> None:
        """Remove inbox and consumer; what cannot be removed now goes by itself after a minute."""
        link = self._link
        link.listeners.discard(self._wake.set)
        try:
            if self._subscription is not None:
                await self._subscription.unsubscribe()
            if self._made and link.client.is_connected:
                name = f"{link.settings.api_prefix}.CONSUMER.DELETE.{self._stream}.{self._name}"
                _, reply = link.new_reply()
                await link.client.publish(name, b"", reply=f"{reply}.2")
        except NatsError as error:
            _LOG.debug("consumer-left-behind %s", error)

    async def _pull(self) -> None:
        """Ask for more as long as what is asked for and what is held leave room."""
        while self._asked + len(self._buffer) <= PULL_COUNT * (PULLS_MAX - 1):
            count = PULL_COUNT if self._wanted is None else min(PULL_COUNT, self._wanted)
            if count == 0:
                return
            if self._pulls >= self._link.settings.session_pulls_max:
                if self._asked == 0:
                    self._end(SessionOver("its turn is over"))
                return
            request = {
                "batch": count,
                "max_bytes": PULL_BYTES_MAX,
                "expires": PULL_EXPIRES_S * NANOSECONDS,
                "idle_heartbeat": int(self._link.settings.heartbeat_s * NANOSECONDS),
            }
            if self._asked == 0:  # Until now there was nobody to hear from.
                self._heard_at = self._link.now()
            self._pulls += 1
            self._asked += count
            if self._wanted is not None:
                self._wanted -= count
            try:
                await self._link.client.publish(
                    self._more, json.dumps(request).encode(), reply=f"{self._inbox}.{self._pulls}"
                )
            except NatsError as error:
                raise SessionOver(str(error)) from error

    def _on_message(self, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        """Take one message; runs in the connection's read loop: short, and it must not raise."""
        if self._over is not None:
            return
        if not reply or (headers and headers.startswith(STATUS_LINE)):
            self._on_status(headers or b"")
            return
        try:
            sequence, delivery = parse_position(reply)
            append_id, own = parse_stored_headers(headers)
        except ValueError as error:
            self._end(UnexpectedAnswer(f"reading {self._stream}: {error}"))
            return
        self._received += 1
        if delivery != self._received:
            self._end(SessionOver(f"delivery {self._received} was lost on the way"))
            return
        if sequence != self._position + 1 and self._subject is None:
            self._end(GapFound(self._stream, self._position + 1, sequence))
            return
        if append_id != self._append_id_bytes:  # Facts of one append share one string.
            self._append_id_bytes, self._append_id = append_id, append_id.decode()
        self._position = sequence
        self._asked -= 1
        self._buffer.append(
            Stored(self._stream, sequence, subject.decode(), data, self._append_id, own)
        )
        if len(self._buffer) == 1:
            self._heard_at = self._link.now()
            self._wake.set()

    def _on_status(self, headers: bytes) -> None:
        line, _, rest = headers.removeprefix(STATUS_LINE).partition(b"\r\n")
        status, _, text = line.decode().partition(" ")
        self._heard_at = self._link.now()
        if status in ("404", "408") or text in BATCH_OVER:
            returned = int(parse_headers(rest).get("Nats-Pending-Messages", 0))
            self._asked -= returned
            if self._wanted is not None:
                self._wanted += returned
        elif status == "100":
            self._heartbeat = True
        else:
            self._end(SessionOver(f"{status} {text}", self._more if status == "503" else None))
        self._wake.set()

    def _end(self, why: Exception) -> None:
        self._over = self._over or why
        self._wake.set()
