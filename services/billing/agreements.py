"""The rules of opening an agreement. Pure.

Source: domain rules, sections 1, 5 and 6.
"""

from collections.abc import Container
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from libs.events.books import HoldingOpened, SystemProposed
from libs.events.commands import OpenAgreement
from libs.events.invoicing import AgreementOpened, as_date
from libs.events.trading import is_reserved_key
from libs.rules.authority import Order
from libs.runtime.failures import NotFound, Refused
from services.billing.inputs import Inputs
from services.billing.periods import local_midnight

FIRST_DAY_AHEAD_MAX = 366
"""Days that the first billed day may lie ahead."""


def open_agreement(
    order: Order, inputs: Inputs, agreements: Container[str], holdings: Container[str]
) -> AgreementOpened:
    """Decide `OpenAgreement`.

    Args:
        order: The judged command.
        inputs: Holdings, systems and tariffs.
        agreements: Ids that are taken.
        holdings: Holdings that have an agreement.

    Raises:
        NotFound: There is no such holding or tariff.
        Refused: By the rule that the code names.
    """
    body = order.body(OpenAgreement)
    holding = inputs.holdings.get(body.holding)
    if holding is None:
        raise NotFound("unknown-holding", f"no holding {body.holding}", field="body.holding")
    system = inputs.systems[holding.system]
    if order.signer.member != holding.recipient:
        raise Refused("not-your-holding", f"{holding.recipient} holds it", field="member")
    if is_reserved_key(body.agreement):  # the ledger's facts of a payment stand under this id
        raise Refused("id-reserved", f"none may be called {body.agreement}", field="body.agreement")
    if body.agreement in agreements:
        raise Refused("agreement-exists", "the id is taken", field="body.agreement")
    if body.holding in holdings:
        raise Refused("holding-has-agreement", "one agreement each", field="body.holding")
    if body.terms != system.terms:
        raise Refused("other-terms", "the investors signed other terms", field="body.terms")
    if body.rating_interval_s != system.rating_interval_s:
        raise Refused(
            "other-interval",
            f"the system is rated every {system.rating_interval_s} s",
            field="body.rating_interval_s",
        )
    _check_tariff(inputs, body, system, _first_instant(body, system, order.time))
    return _agreement(order, body, holding, system)


def _first_instant(body: OpenAgreement, system: SystemProposed, now: datetime) -> datetime:
    first, today = as_date(body.first_day), _local_day(now, system.time_zone)
    if first < today - timedelta(days=1):
        raise Refused("first-day-past", "it lies in the past", field="body.first_day")
    if first > today + timedelta(days=FIRST_DAY_AHEAD_MAX):
        raise Refused(
            "first-day-far",
            f"it lies more than {FIRST_DAY_AHEAD_MAX} days ahead",
            field="body.first_day",
        )
    return local_midnight(first, system.time_zone)


def _local_day(now: datetime, time_zone: str) -> date:
    """The local day of an instant."""
    return now.astimezone(ZoneInfo(time_zone)).date()


def _check_tariff(
    inputs: Inputs, body: OpenAgreement, system: SystemProposed, starts_at: datetime
) -> None:
    tariff = inputs.tariffs.get(body.tariff)
    if tariff is None:
        raise NotFound("unknown-tariff", f"no tariff {body.tariff}", field="body.tariff")
    version = tariff.at(starts_at)
    if version is None:
        raise Refused("tariff-gap", "it holds from later than first_day", field="body.tariff")
    if version[0].asset != system.asset:
        raise Refused("wrong-asset", f"the system is in {system.asset}", field="body.tariff")


def _agreement(
    order: Order, body: OpenAgreement, holding: HoldingOpened, system: SystemProposed
) -> AgreementOpened:
    return AgreementOpened(
        agreement=body.agreement,
        holding=body.holding,
        system=holding.system,
        recipient=holding.recipient,
        tariff=body.tariff,
        asset=system.asset,
        period=body.period,
        time_zone=system.time_zone,
        first_day=body.first_day,
        rating_interval_s=body.rating_interval_s,
        settlement_lag_s=body.settlement_lag_s,
        due_after_s=body.due_after_s,
        terms=body.terms,
        command=order.text,
    )
