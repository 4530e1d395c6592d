"""`heliograph tariff`: tariffs of others, as the body of a command."""

from typing import Annotated, Literal

import typer

from heliograph.errors import StackError

Urdb = Annotated[
    str,
    typer.Option(
        "--urdb",
        metavar="FILE|URL",
        help="The tariff, in the shape of OpenEI's utility rate database (JSON).",
    ),
]
Tariff = Annotated[str, typer.Option("--tariff", help="Id that the tariff gets here.")]
AssetOption = Annotated[
    str, typer.Option("--asset", help="What its prices are in: a code, or CODE:ISSUER.")
]
EffectiveFrom = Annotated[
    str,
    typer.Option(
        "--effective-from",
        metavar="YYYY-MM-DDTHH:MM:SSZ",
        help="First instant at which it holds; not before now when it is published.",
    ),
]
IgnoreDemand = Annotated[
    bool,
    typer.Option("--ignore-demand", help="Leave out charges for power, which are not billed."),
]


def tariff(
    action: Annotated[
        Literal["import"], typer.Argument(help="`import` reads a tariff that somebody published.")
    ],
    urdb: Urdb,
    tariff_id: Tariff,
    asset: AssetOption,
    effective_from: EffectiveFrom,
    ignore_demand: IgnoreDemand = False,  # noqa: FBT002 - as typer has flags
) -> None:
    """Read a time-of-use tariff and print it as the body of PublishTariff, for `sign`.

    Seasons, hours, tiers, the standing charge and what is paid for sold energy are carried over.
    Whatever else would change a bill is refused, with the member and the rule; what is left out is
    named on the standard error.

    Example: heliograph tariff import --urdb rate.json --tariff home-tou --asset USD
    --effective-from 2026-07-01T06:00:00Z | heliograph sign --command PublishTariff --body @-
    --key approver.key --member approver --book main
    """
    import asyncio  # noqa: PLC0415 - only when it is used

    from pydantic import ValidationError  # noqa: PLC0415 - as above

    from libs.events.billing_commands import PublishTariff  # noqa: PLC0415 - as above
    from libs.events.quantities import parse_instant  # noqa: PLC0415 - as above
    from libs.events.spelling import spell  # noqa: PLC0415 - as above
    from libs.runtime.failures import HeliographError  # noqa: PLC0415 - as above
    from services.oracle.adapters.urdb import read_tariff  # noqa: PLC0415 - as above
    from services.oracle.fetching import fetch_once  # noqa: PLC0415 - as above

    assert action == "import", "typer lets nothing else pass"
    try:
        found = read_tariff(asyncio.run(fetch_once(urdb)), ignores_demand=ignore_demand)
    except HeliographError as error:
        raise StackError(f"The tariff cannot be taken over: {error}.") from error
    prices = found.prices
    try:
        body = PublishTariff(
            tariff=tariff_id,
            asset=asset,
            effective_from=parse_instant(effective_from),
            time_of_use=prices.time_of_use,
            standing_stroops_per_month=prices.standing_stroops_per_month or None,
            feed_in=prices.feed_in,
            source_sha256=prices.source_sha256,
        )
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, fault["loc"]))
        raise StackError(f"The tariff cannot be published: {place}: {fault['msg']}.") from error
    except ValueError as error:
        raise StackError(f"--effective-from {effective_from}: {error}.") from error
    for name in found.left_out:
        typer.echo(f"heliograph: left out: {name}", err=True)
    typer.echo(spell(body).decode("utf-8"))
