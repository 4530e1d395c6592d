"""`heliograph preview`, `what-if` and `forecast`: the next bill, another past, and the end."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from heliograph.commands.options import DATA
from heliograph.errors import StackError

if TYPE_CHECKING:
    from heliograph.foresight.history import Known
    from libs.events.invoicing import AgreementOpened

Agreement = Annotated[str, typer.Argument(help="The agreement.")]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        envvar="HELIOGRAPH_DATA",
        file_okay=False,
        help=f"Data folder of an embedded stack that is running; {DATA} unless told.",
    ),
]
Nats = Annotated[
    str | None, typer.Option("--nats", metavar="URL", help="Or: the broker that is read.")
]
User = Annotated[str, typer.Option("--user", help="With --nats: user, who may read.")]
Password = Annotated[
    str,
    typer.Option(
        "--password", envvar="HELIOGRAPH_NATS_PASSWORD", help="With --nats: his password."
    ),
]
Deployment = Annotated[
    str, typer.Option("--deployment", help="With --nats: id of the installation.")
]
Partitions = Annotated[
    int, typer.Option("--partitions", min=1, max=256, help="With --nats: number of partitions.")
]
Book = Annotated[
    str | None, typer.Option("--book", help="The book; unless told the only one, or pilot.")
]
TariffOption = Annotated[
    str | None, typer.Option("--tariff", help="Another tariff that was published, by its id.")
]
TariffFile = Annotated[
    str | None,
    typer.Option(
        "--tariff-file",
        metavar="FILE",
        help="Another tariff, as a body of PublishTariff (`heliograph tariff import` prints one); "
        "it is taken to hold from the first day on. - reads it.",
    ),
]
PeriodOption = Annotated[
    Literal["14d", "28d", "month"] | None, typer.Option("--period", help="Another billing period.")
]
Payment = Annotated[
    str | None,
    typer.Option(
        "--payment",
        metavar="AMOUNT",
        help="Pay this much, such as 25.50, whenever a bill falls due, in place of the bill; what "
        "is left over repays principal at once.",
    ),
]
FromDay = Annotated[
    str | None,
    typer.Option("--from", metavar="YYYY-MM-DD", help="Leave out periods that begin before."),
]
UntilDay = Annotated[
    str | None,
    typer.Option("--until", metavar="YYYY-MM-DD", help="Leave out periods that end after it."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON; amounts are stroops.")]


def preview(  # noqa: PLR0913, PLR0917 - an option each
    agreement: Agreement,
    data: Data = None,
    nats: Nats = None,
    user: User = "auditor",
    password: Password = "",
    deployment: Deployment = "embedded",
    partitions: Partitions = 1,
    book: Book = None,
    as_json: Json = False,  # noqa: FBT002 - as typer has flags
) -> None:
    """Show what the next bill would be by now, line by line, beside its draft.

    It reads the streams and writes nothing. Intervals that lack a meter or a price are counted, and
    not billed.

    Example: heliograph preview home
    """
    from heliograph.foresight.preview import preview as ask  # noqa: PLC0415 - only when it is used
    from heliograph.foresight.telling import json_of_preview  # noqa: PLC0415 - as above

    where = _Where(data, nats, user, password, deployment, partitions, book)
    with _told_failures():
        found = ask(where.read(), agreement)
    if as_json:
        _print_json(json_of_preview(found))
    else:
        _teller().preview(found)


def what_if(  # noqa: PLR0913, PLR0917 - an option each
    agreement: Agreement,
    tariff: TariffOption = None,
    tariff_file: TariffFile = None,
    period: PeriodOption = None,
    payment: Payment = None,
    from_day: FromDay = None,
    until_day: UntilDay = None,
    data: Data = None,
    nats: Nats = None,
    user: User = "auditor",
    password: Password = "",
    deployment: Deployment = "embedded",
    partitions: Partitions = 1,
    book: Book = None,
    as_json: Json = False,  # noqa: FBT002 - as typer has flags
) -> None:
    """Bill the past again: with another tariff, another period, or other payments.

    For every period: what was billed, what would have been, and the difference; then what would
    have been repaid had everything been paid when it fell due. The rules are those that bill. What
    cannot be known is said and left out.

    Example: heliograph what-if home --tariff night-saver
    """
    from heliograph.foresight.telling import json_of_answer  # noqa: PLC0415 - only when it is used
    from heliograph.foresight.what_if import Question  # noqa: PLC0415 - as above
    from heliograph.foresight.what_if import what_if as ask  # noqa: PLC0415 - as above

    amount, first, last = _amount(payment), _date("--from", from_day), _date("--until", until_day)
    name = _tariff_of(tariff, tariff_file)
    where = _Where(data, nats, user, password, deployment, partitions, book)
    with _told_failures():
        known = where.read()
        chosen = name(known, known.account(agreement).opened)
        found = ask(known, agreement, Question(chosen, period, amount, first, last))
    if as_json:
        _print_json(json_of_answer(found))
    else:
        _teller().what_if(found)


def forecast(  # noqa: PLR0913, PLR0917 - an option each
    agreement: Agreement,
    tariff: TariffOption = None,
    tariff_file: TariffFile = None,
    payment: Payment = None,
    data: Data = None,
    nats: Nats = None,
    user: User = "auditor",
    password: Password = "",
    deployment: Deployment = "embedded",
    partitions: Partitions = 1,
    book: Book = None,
    as_json: Json = False,  # noqa: FBT002 - as typer has flags
) -> None:
    """Say when the holding would be paid off, and what that takes.

    The energy of the last year is repeated, or, with less history, the mean of what is known; it is
    billed by the same rules, and every bill is paid when it falls due. `no-end` is said when what
    is paid does not exceed the return.

    Example: heliograph forecast home --payment 25
    """
    from heliograph.foresight.forecast import Future  # noqa: PLC0415 - only when it is used
    from heliograph.foresight.forecast import forecast as ask  # noqa: PLC0415 - as above
    from heliograph.foresight.history import supposed  # noqa: PLC0415 - as above
    from heliograph.foresight.telling import json_of_forecast  # noqa: PLC0415 - as above

    amount, name = _amount(payment), _tariff_of(tariff, tariff_file)
    where = _Where(data, nats, user, password, deployment, partitions, book)
    with _told_failures():
        known = where.read()
        account = known.account(agreement)
        chosen = name(known, account.opened)
        found = ask(known, agreement, Future(chosen, amount))
    opened = supposed(account, tariff=chosen, period=None).opened
    if as_json:
        _print_json(json_of_forecast(found, opened))
    else:
        _teller().forecast(found, opened)


class _Where:
    """Where the streams are read, by the options."""

    def __init__(
        self,
        data: Path | None,
        nats: str | None,
        user: str,
        password: str,
        deployment: str,
        partitions: int,
        book: str | None,
    ) -> None:
        from heliograph.foresight.reading import Place, place_of  # noqa: PLC0415 - as above

        if nats is None:
            self._place = place_of(data or DATA, book)
        else:
            self._place = Place(nats, user, password, deployment, partitions, book or "pilot")

    def read(self) -> "Known":
        """Read everything, with a bar on the standard error of a terminal."""
        from rich.console import Console  # noqa: PLC0415 - only when it is used
        from rich.progress import Progress  # noqa: PLC0415 - as above

        from heliograph.foresight.reading import read  # noqa: PLC0415 - as above

        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            tasks: dict[str, Any] = {}

            def tell(stream: str, place: int, end: int) -> None:
                if stream not in tasks:
                    tasks[stream] = bar.add_task(stream, total=end)
                bar.update(tasks[stream], completed=place)

            return read(self._place, tell)


@contextmanager
def _told_failures() -> Iterator[None]:
    """Tell what the rules refuse as one sentence with its code."""
    from libs.runtime.failures import HeliographError  # noqa: PLC0415 - only when it is used

    try:
        yield
    except HeliographError as error:
        raise StackError(f"{error}.") from error


def _tariff_of(
    tariff: str | None, tariff_file: str | None
) -> "Callable[[Known, AgreementOpened], str | None]":
    """How the tariff is found once the streams are read; a bad file is told before that."""
    if tariff_file is None:
        return lambda known, opened: tariff  # noqa: ARG005 - it was published
    if tariff is not None:
        raise typer.BadParameter("Tell either --tariff or --tariff-file.")
    from heliograph.foresight.tariffs import suppose  # noqa: PLC0415 - only when it is used
    from libs.events.billing_commands import PublishTariff  # noqa: PLC0415 - as above

    try:
        text = sys.stdin.read() if tariff_file == "-" else Path(tariff_file).read_text("utf-8")
        body = PublishTariff.model_validate_json(text)
        kinds = (body.price_stroops_per_kwh, body.time_of_use, body.market)
    except (OSError, ValueError) as error:
        raise StackError(
            f"--tariff-file {tariff_file}: no body of PublishTariff: {error}"
        ) from error
    if sum(kind is not None for kind in kinds) != 1:
        raise StackError(
            f"--tariff-file {tariff_file}: exactly one of price_stroops_per_kwh, time_of_use and "
            "market."
        )
    return lambda known, opened: suppose(known, opened, body)


def _amount(text: str | None) -> int | None:
    """Read an amount in units of the asset."""
    from libs.events.decimals import MONEY_PLACES, parse_decimal  # noqa: PLC0415 - as above

    try:
        return None if text is None else parse_decimal(text, MONEY_PLACES)
    except ValueError as error:
        raise typer.BadParameter(f"--payment {text}: {error}.") from error


def _date(option: str, text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option} {text}: a day is written YYYY-MM-DD.") from error


def _print_json(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, indent=1, ensure_ascii=False))


def _teller() -> Any:
    from rich.console import Console  # noqa: PLC0415 - only when it is used

    from heliograph.foresight.telling import Teller  # noqa: PLC0415 - as above

    return Teller(Console())
