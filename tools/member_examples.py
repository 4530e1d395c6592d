"""The examples of the register: a bakery joins, and what changes about Raul."""

from libs.events import commands, membership
from libs.events.trade_commands import RegisterFactory
from libs.rules.membership import registration
from tools.example_parts import (
    JULY,
    MEMBERS,
    NOON,
    SPRING,
    Example,
    claims,
    from_command,
    key_of,
    signed,
)
from tools.trade_examples import BAKERY
from tools.trade_examples import REGISTER as REGISTER_BAKERY

GRANT = claims(
    "anna",
    "raul-invests",
    commands.GrantRoles(member="raul", roles=("recipient", "platform", "investor")),
    "register",
    SPRING,
)
ROTATE = claims(
    "raul",
    "new-phone",
    commands.RotateKey(member="raul", address=key_of("raul, second key").address),
    "register",
    JULY,
)
SUSPEND = claims(
    "anna",
    "suspend-raul",
    commands.SuspendMember(member="raul", suspended=True, reason="key-lost"),
    "register",
    NOON,
)

MEMBER_COMMANDS = (GRANT, ROTATE, SUSPEND)
"""One of each command about members, but for the registrations."""


def member_examples() -> list[Example]:
    """A factory's registration, and one of each change."""
    body = REGISTER_BAKERY.body
    assert isinstance(body, RegisterFactory)
    bakery = registration(body, signed(REGISTER_BAKERY))
    granted = membership.RoleGranted.model_validate(
        {**GRANT.body.model_dump(), "command": signed(GRANT)}
    )
    rotated = membership.KeyRotated.model_validate(
        {**ROTATE.body.model_dump(), "command": signed(ROTATE)}
    )
    suspended = membership.MemberSuspended.model_validate(
        {**SUSPEND.body.model_dump(), "command": signed(SUSPEND)}
    )
    return [
        from_command(MEMBERS, REGISTER_BAKERY, "member", BAKERY, bakery, sequence=6),
        from_command(MEMBERS, GRANT, "roles", "raul", granted, sequence=4),
        from_command(MEMBERS, ROTATE, "key", "raul", rotated, sequence=7),
        from_command(MEMBERS, SUSPEND, "suspension", "raul", suspended, sequence=8),
    ]
