"""Signs commands, as any member's program does; sends nothing and asks nobody.

The same key, claims and body give the same text, so a command that may or may not have arrived is
repeated by sending the same text again. Keep the text, or what it was made of, before you send it.

Source: eventing contract, section 5; docs/sign.md.
"""

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from heliograph.keys import read_key
from libs.events.command import COMMANDS, WINDOW_S_MAX, Body, Command, read_command, write_command
from libs.events.errors import InvalidSignature
from libs.events.jws import COMMAND_SIZE_MAX, Signed, SigningKey, payload_of
from libs.events.positions import Position, parse_seen, write_seen
from libs.runtime.clock import Clock, SystemClock

EARLY_S: Final = 300
"""Seconds by which a window begins before now, since the clock of the rules follows ours."""

_ID_BYTES: Final = 8
"""Random bytes of a command id: ids are told apart by member, and for a day."""

_BATCH: Final = "Batch"


class NotSigned(ValueError):
    """What was to be signed would be refused; each fault names a field and the rule it breaks."""

    def __init__(self, what: str, faults: Sequence[str]) -> None:
        """Tell what cannot be signed, and why."""
        super().__init__(f"{what} cannot be signed: {'; '.join(faults)}")
        self.what, self.faults = what, tuple(faults)


@dataclass(frozen=True, slots=True)
class Window:
    """When a command is valid, by the clock of the rules; at most 24 hours."""

    not_before: int
    """First second at which it is valid, since 1970."""
    expires: int
    """First second at which it is not valid any more, since 1970."""

    @classmethod
    def beginning(cls, at: datetime, seconds: int = WINDOW_S_MAX) -> "Window":
        """The window that begins at an instant, of so many seconds."""
        first = int(at.timestamp())
        return cls(first, first + seconds)

    @classmethod
    def around(cls, now: datetime, seconds: int = WINDOW_S_MAX) -> "Window":
        """The window from a little before now to so many seconds after now."""
        first = int(now.timestamp())
        return cls(first - EARLY_S, min(first + seconds, first - EARLY_S + WINDOW_S_MAX))


def new_command_id() -> str:
    """Make a random command id of 16 characters."""
    return secrets.token_hex(_ID_BYTES)


class Signer:
    """A member and his key, at one installation."""

    def __init__(
        self, key: SigningKey, *, member: str, deployment: str, clock: Clock | None = None
    ) -> None:
        """Prepare the signer.

        Args:
            key: The member's key.
            member: Who asks.
            deployment: Id of the installation; no other one will take the command.
            clock: Tells when a window begins that was not told; the machine's clock unless given.
        """
        self._key, self._member, self._deployment = key, member, deployment
        self._clock = clock or SystemClock()

    @classmethod
    def from_file(cls, path: Path, *, member: str, deployment: str) -> "Signer":
        """Take the key from a file that `heliograph keys new` made.

        Raises:
            StackError: The file cannot be read, or holds no key.
        """
        return cls(read_key(path), member=member, deployment=deployment)

    @property
    def address(self) -> str:
        """The key's Stellar address."""
        return self._key.address

    def sign(
        self,
        body: Body,
        *,
        book: str,
        command_id: str | None = None,
        window: Window | None = None,
        after: Iterable[Position] = (),
    ) -> str:
        """Sign a command.

        Args:
            body: What is asked.
            book: The book; `register` for members, the partition for ingest, `main` for the oracle.
            command_id: Makes a repeat recognisable; random unless given.
            window: When it is valid; from now for a day unless given.
            after: Facts that it answers: the decider first reads that far.

        Returns:
            A compact JWS.

        Raises:
            NotSigned: A claim breaks its rule, or the text is too long.
        """
        claims = self._claims(type(body), book, command_id, window, after)
        try:
            payload = write_command(Command.model_validate(claims | {"body": body}))
        except ValidationError as error:
            raise NotSigned(body.command_name, faults_of(error)) from error
        return self._signed(body.command_name, payload)

    def sign_json(
        self,
        command: str,
        body: str | Mapping[str, Any],
        *,
        book: str,
        command_id: str | None = None,
        window: Window | None = None,
        after: Iterable[Position] = (),
    ) -> str:
        """Sign a command whose body is JSON, once it is checked; every value stays as it is given.

        Args:
            command: Its name, such as `ExecuteTrade`.
            body: A JSON object as text or as Python has it.
            book: See `sign`, as for the others.
            command_id: Makes a repeat recognisable.
            window: When it is valid.
            after: Facts that it answers.

        Returns:
            A compact JWS.

        Raises:
            NotSigned: The command is unknown, a field breaks its rule, or the text is too long.
        """
        document = strict_object(command, body) if isinstance(body, str) else dict(body)
        check_body(command, document)
        claims = self._claims(COMMANDS[command], book, command_id, window, after)
        payload = _written(claims | {"body": document})
        try:
            read_command(Signed(self.address, payload, b"", b""))  # as the service will
        except InvalidSignature as error:
            raise NotSigned(command, [str(error)]) from error
        return self._signed(command, payload)

    def _claims(
        self,
        body: type[Body],
        book: str,
        command_id: str | None,
        window: Window | None,
        after: Iterable[Position],
    ) -> dict[str, Any]:
        """Everything but the body, in the order in which it is signed."""
        window = window or Window.around(self._clock.now())
        seen = write_seen(after)
        try:
            parse_seen(seen)
        except ValueError as error:
            raise NotSigned(body.command_name, [f"after: {error}"]) from error
        claims = {
            "deployment": self._deployment,
            "service": body.service,
            "book": book,
            "id": new_command_id() if command_id is None else command_id,
            "member": self._member,
            "nbf": window.not_before,
            "exp": window.expires,
            "after": seen or None,
            "command": body.command_name,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def _signed(self, command: str, payload: bytes) -> str:
        text = self._key.sign("hg-command+jws", payload)
        if len(text) > COMMAND_SIZE_MAX:
            size = f"{len(text):,} bytes, at most {COMMAND_SIZE_MAX:,} are taken"
            raise NotSigned(command, [f"signed it has {size}"])
        return text


def check_body(command: str, body: Mapping[str, Any]) -> None:
    """Check a body by the command's own model.

    Raises:
        NotSigned: The command is unknown, or fields break their rules; all of them are named.
    """
    model = COMMANDS.get(command)
    if model is None:
        raise NotSigned(command, ["no command has this name"])
    try:
        model.model_validate_json(_written(body))
    except ValidationError as error:
        raise NotSigned(command, faults_of(error, "body")) from error
    except (ValueError, TypeError) as error:  # what JSON cannot hold
        raise NotSigned(command, [f"body: {error}"]) from error


def batch_body(lines: Iterable[str], command_id: str) -> dict[str, Any]:
    """Make the body of a signed batch.

    Args:
        lines: Each a JSON object of `command`, `body` and, where it matters, `id`; empty lines are
            left out. Without an `id` the n-th line gets the batch's id, `-` and n.
        command_id: Id of the batch.

    Returns:
        The body of the command `Batch`.

    Raises:
        NotSigned: A line is no command that may stand in a batch; all faults are named.
    """
    items: dict[str, dict[str, Any]] = {}
    faults: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            item = {"id": f"{command_id}-{number}"} | _item(line)
        except NotSigned as error:
            faults += [f"line {number}, {fault}" for fault in error.faults]
            continue
        if str(item["id"]) in items:
            faults.append(f"line {number}, id: {item['id']} stands twice")
        items[str(item["id"])] = item
    if faults:
        raise NotSigned(_BATCH, faults)
    return {"commands": list(items.values())}


def _item(line: str) -> dict[str, Any]:
    item = strict_object(_BATCH, line, "JSON")
    command, body = item.get("command"), item.get("body")
    if not isinstance(command, str) or not isinstance(body, dict) or set(item) - _ITEM_MEMBERS:
        raise NotSigned(_BATCH, ["a line has `command`, `body` and, if need be, `id`"])
    check_body(command, body)
    if not COMMANDS[command].batchable:
        raise NotSigned(_BATCH, [f"command: {command} may not stand in a batch"])
    return item


_ITEM_MEMBERS: Final = {"id", "command", "body"}


def strict_object(what: str, text: str, place: str = "body") -> dict[str, Any]:
    """Read a JSON object as strictly as a service does.

    Args:
        what: The command that it is for, as it stands in the error.
        text: The JSON.
        place: What the JSON is, as it stands in the error.

    Raises:
        NotSigned: It is none, or a key stands twice.
    """
    try:
        return payload_of(Signed("", text.encode("utf-8"), b"", b""))
    except (InvalidSignature, UnicodeEncodeError) as error:
        raise NotSigned(what, [str(error).replace("payload", place, 1)]) from error


def faults_of(error: ValidationError, *above: str) -> list[str]:
    """Write each fault as the field and the rule that it breaks."""
    return [
        f"{'.'.join([*above, *map(str, fault['loc'])]) or 'claims'}: "
        f"{fault['msg'].removeprefix('Value error, ')}"
        for fault in error.errors(include_url=False, include_input=False, include_context=False)
    ]


def _written(document: Mapping[str, Any]) -> bytes:
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8")
