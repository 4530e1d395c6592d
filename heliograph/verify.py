"""`heliograph verify`: check the proof of an invoice, offline, and say what it is worth.

Needs no running system, reads two files and imports no service.
"""

import json
from datetime import UTC
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from libs.proof.case import Step
    from libs.proof.verify import Refused, Verified

FILE_SIZE_MAX = 64 * 1024 * 1024
"""More bytes of a file are not read."""


class ExitCode(IntEnum):
    """What became of the proof."""

    PROVED = 0
    """It holds, under keys that the trust file names."""
    REFUSED = 1
    """It does not hold, or cannot be read."""
    CONSISTENT = 2
    """It holds in itself; whose keys these are was not established."""


def verify(
    file: Annotated[Path, typer.Argument(help="The proof file.", show_default=False)],
    trust: Annotated[
        Path | None,
        typer.Option(help="The trust file, from another source than the proof."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Check the proof of an invoice, offline, step by step.

    Exit code 0: proved. 1: refused. 2: consistent, but without a trust file trust is not
    established.
    """
    from libs.proof.verify import Refused, verify_proof  # noqa: PLC0415 - XDR takes a while to load

    try:
        result = verify_proof(_read(file), None if trust is None else _read(trust))
    except Refused as refused:
        typer.echo(_json_of_refusal(refused)) if as_json else _tell_refusal(refused)
        raise typer.Exit(ExitCode.REFUSED) from None
    except OSError as error:
        typer.secho(f"heliograph: {error.filename}: {error.strerror}", fg="red", err=True)
        raise typer.Exit(ExitCode.REFUSED) from None
    typer.echo(_json_of_result(result)) if as_json else tell(result)
    raise typer.Exit(exit_code_of(result))


def exit_code_of(result: "Verified") -> ExitCode:
    """The exit code for a verification that passed."""
    from libs.proof.verify import Verdict  # noqa: PLC0415 - as above

    return ExitCode.PROVED if result.verdict is Verdict.PROVED else ExitCode.CONSISTENT


def sentence_of(result: "Verified") -> str:
    """The verdict in one sentence."""
    whole, part = divmod(result.total_stroops, 10_000_000)
    amount = f"{whole}.{part:07} {result.asset.partition(':')[0]}"
    kwh, wh = divmod(result.energy_wh, 1000)
    closed = result.closed_at.astimezone(UTC)
    what = (
        f"invoice {result.invoice} (number {result.number}) over {kwh}.{wh:03} kWh and {amount} "
        f"follows from signed readings and stood so before {closed:%Y-%m-%d %H:%M:%S} UTC "
        f"(ledger {result.ledger} of {result.network!r})"
    )
    if exit_code_of(result) is ExitCode.PROVED:
        return f"Proved: {what}."
    return f"Consistent, trust not established: {what}, if the keys in the file are to be trusted."


def tell(result: "Verified") -> None:
    """Print the steps, what is not covered, and the verdict."""
    for step in result.steps:
        _tell_step(step)
    typer.echo("")
    for sentence in result.not_covered:
        typer.echo(f"  not covered: {sentence}")
    typer.echo("")
    proved = exit_code_of(result) is ExitCode.PROVED
    _say(sentence_of(result), "green" if proved else "yellow")


def _tell_refusal(refused: "Refused") -> None:
    for step in refused.passed:
        _tell_step(step)
    _say(f"{refused.step:3} ✗ {refused.message}", "red")
    typer.echo("")
    _say(f"Refused: step {refused.step} failed: {refused.message}.", "red")


def _tell_step(step: "Step") -> None:
    counts = ", ".join(f"{what}: {count:,}" for what, count in step.counts.items())
    tail = f" ({counts})" if counts else ""
    _say(f"{step.number:3} ✓ {step.name}: {step.checked}{tail}", None)


def _say(text: str, colour: str | None) -> None:
    """Print a line: coloured and wrapped on a terminal, as it is elsewhere."""
    from rich.console import Console  # noqa: PLC0415 - only when it is used
    from rich.text import Text  # noqa: PLC0415 - as above

    console = Console()
    if console.is_terminal:
        console.print(Text(text, style=colour or ""))
    else:
        typer.echo(text)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(FILE_SIZE_MAX)


def _json_of_step(step: "Step") -> dict[str, Any]:
    return {
        "number": step.number,
        "name": step.name,
        "checked": step.checked,
        "counts": dict(step.counts),
    }


def _json_of_refusal(refused: "Refused") -> str:
    document = {
        "verdict": "refused",
        "step": refused.step,
        "reason": refused.message,
        "steps": [_json_of_step(step) for step in refused.passed],
    }
    return json.dumps(document, indent=1, ensure_ascii=False)


def _json_of_result(result: "Verified") -> str:
    from libs.events.quantities import format_instant  # noqa: PLC0415 - as above

    document = {
        "verdict": result.verdict.value,
        "sentence": sentence_of(result),
        "invoice": result.invoice,
        "number": result.number,
        "recipient": result.recipient,
        "period_from": format_instant(result.period_from),
        "period_until": format_instant(result.period_until),
        "energy_wh": result.energy_wh,
        "total_stroops": result.total_stroops,
        "asset": result.asset,
        "network": result.network,
        "ledger": result.ledger,
        "ledger_hash": result.ledger_hash,
        "closed_at": format_instant(result.closed_at),
        "steps": [_json_of_step(step) for step in result.steps],
        "not_covered": list(result.not_covered),
    }
    return json.dumps(document, indent=1, ensure_ascii=False)
