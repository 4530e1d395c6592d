"""What can be wrong with a fact or a signed message."""


class EventError(Exception):
    """A message is not what it must be. `rule` names the rule that it breaks."""

    def __init__(self, message: str, *, rule: str) -> None:
        super().__init__(message)
        self.rule = rule


class InvalidFact(EventError):
    """Stored bytes are no fact, or the fact does not belong where it stands."""


class InvalidSignature(EventError):
    """A signed message breaks the profile of `libs.events.jws`, or its signature is wrong."""
