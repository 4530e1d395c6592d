"""The only place that reaches into nats-py, and why.

Three things cannot be had through its public face at the speed that this platform needs (contract
on eventing, sections 3 and 8): writing all frames of a batch at once, answering at once, and taking
thousands of messages without a queue, a task switch and a full parse of headers for each. All are a
few lines over insides that have been the same for years; `tests/eventstore/test_natspy.py` fails as
soon as they change.
"""

from collections.abc import Callable
from typing import Any, Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from typing_extensions import override

Tap = Callable[[bytes, bytes, bytes, bytes | None], None]
"""Takes subject, reply subject, data and the block of headers (None or empty without) of one
message."""

_NO_LIMIT: Final = 0


class TappedClient(Client):
    """A client whose subscriptions can be tapped."""

    def __init__(self) -> None:
        super().__init__()
        self._taps: dict[int, Tap] = {}

    async def tap(self, subject: str, tap: Tap) -> Subscription:
        """Subscribe so that every message goes straight from the parser to `tap`.

        The tap runs inside the read loop: it must be short, must not wait and must not raise.
        Nothing is held back for it, so ask for no more messages than may be held.
        """
        subscription = await self.subscribe(
            subject, cb=_nothing, pending_msgs_limit=_NO_LIMIT, pending_bytes_limit=_NO_LIMIT
        )
        self._taps[subscription._id] = tap  # noqa: SLF001 - see the module
        return subscription

    @override
    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        self._taps.pop(sid, None)
        super()._remove_sub(sid, max_msgs)

    @override
    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: Any
    ) -> None:
        """Take one message from the parser; the override of nats-py's own way."""
        tap = self._taps.get(sid)
        if tap is None:
            await super()._process_msg(sid, subject, reply, data, headers)
        else:
            tap(subject, reply, data, headers)

    @override
    async def _process_connect_init(self) -> None:
        """Shake hands; nats-py forgets to close a connection whose handshake failed."""
        try:
            await super()._process_connect_init()
        except BaseException:
            if self._transport is not None:
                self._transport.close()  # type: ignore[no-untyped-call]
            raise

    async def write_at_once(self, block: bytes) -> None:
        """Hand a block of ready protocol to the connection, to be written in one go.

        `publish` costs one pass through nats-py's queue per frame (29,000/s instead of 61,000/s)
        and could part the frames of a batch in two writes; an unfinished batch then blocks others
        for ten seconds. Used: `_send_command(bytes)` puts the block behind what waits already,
        `_flush_pending()` wakes the task that writes everything that waits. A block handed over
        while the connection is away is written once it is back.
        """
        await self._send_command(block)
        await self._flush_pending()

    def write_now(self, block: bytes) -> bool:
        """Hand a block of ready protocol to the socket before this returns.

        For answers, which stand in no order with anything else: it spares them two passes through
        the event loop. Used: `_transport.write`, where nats-py itself writes whole frames.

        Returns:
            False when the connection is away; then nothing was written.
        """
        if self._transport is None or not self.is_connected:
            return False
        self._transport.write(block)
        return True


async def _nothing(message: Msg) -> None:
    """Take no notice: messages of a tapped subscription do not come this way."""
