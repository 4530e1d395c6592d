"""A signed batch: up to 500 commands under one signature.

The claims around the batch (member, book, window) hold for each command in it. Each has an id of
its own, is judged, decided and answered by itself, and may be repeated by itself or in any other
batch; all that are accepted stand in one append. The text is kept with the first fact of that
append; the other facts name its position as their cause, and their ids name their commands.

Source: eventing contract, sections 2 and 5; docs/decisions/0003.
"""

from typing import Annotated, Any

from pydantic import FailFast, Field, ValidationError
from pydantic_core import to_json

from libs.events.command import COMMANDS, Body, Command, command
from libs.events.errors import InvalidSignature
from libs.events.fact import Strict
from libs.events.ids import Id
from libs.events.spelling import made_of, validator_of

BATCH_MAX = 500
"""Most commands of one signed batch."""


class BatchItem(Strict):
    """One command of a batch."""

    id: Id
    """Its id, as that of a command that stands alone."""
    command: str
    """Name of the command; not every one may stand in a batch."""
    body: dict[str, Any]
    """What is asked, as in a command that stands alone."""


@command("Batch", "ledger")
class Batch(Body):
    """Several commands of one member under one signature, each decided and answered by itself."""

    commands: Annotated[
        tuple[BatchItem, ...], Field(min_length=1, max_length=BATCH_MAX), FailFast()
    ]
    """The commands, in the order in which they are decided; no id stands twice."""


def item_command(claims: Command, item: BatchItem) -> Command:
    """Read one command of a batch: the claims of the batch with its own id, name and body.

    Raises:
        InvalidSignature: It may not stand in a batch, or a field breaks its rule; the message
            begins with the field.
    """
    body = COMMANDS.get(item.command)
    if body is None or not body.batchable:
        text = f"command: {item.command} may not stand in a batch"
        raise InvalidSignature(text, rule="not-batchable")
    try:
        # A number that no float can hold must not become null, which would be as if left out.
        written = to_json(item.body, inf_nan_mode="constants")
        read: Body = validator_of(body).validate_json(written)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(("body", *map(str, fault["loc"])))
        raise InvalidSignature(f"{place}: {fault['msg']}", rule="command-schema") from error
    own = {"id": item.id, "command": item.command, "body": read}
    return made_of(Command, claims.__dict__ | own)  # each of them was checked where it was read
