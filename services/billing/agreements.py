"""The rules of opening an agreement. Pure.

Source: domain rules, sections 1, 4, 5 and 6; docs/decisions/0005.
"""

from datetime import date, datetime, timedelta
from typing import Final

from libs.events.billing_commands import OpenAgreement
from libs.events.books import HoldingOpened
from libs.events.invoicing import NOTICE_S, AgreementOpened
from libs.events.quantities import as_date, format_instant
from libs.events.systems import SystemProposed
from libs.events.trading import is_reserved_key
from libs.rules.authority import Order
from libs.rules.membership import Members
from libs.rules.periods import local_day, local_midnight
from libs.rules.tariffs import version_at
from libs.runtime.failures import NotFound, Refused
from services.billing.accounts import Accounts
from services.billing.inputs import Inputs
from services.billing.margin import check_margin

FIRST_DAY_AHEAD_MAX: Final = 366
"""Days that the first billed day may lie ahead."""

_DAY_S: Final = 86_400

DUE_AFTER_S_MAX: Final = 62 * _DAY_S
"""Seconds from an invoice to its due time at most: two months. Only the recipient signs it, and
investors shall not wait longer before anybody is late."""

SETTLEMENT_LAG_S_MAX: Final = 35 * _DAY_S
"""Seconds from a period's end to its invoice at most: as long as readings can be corrected."""

NOTICE_S_MAX: Final = 31 * _DAY_S
"""Seconds between two steps of lateness at most."""

GRACE_PERIODS: Final = 6
"""Grace unless an agreement says otherwise."""


def open_agreement(
    order: Order, inputs: Inputs, accounts: Accounts, members: Members
) -> AgreementOpened:
    """Decide `OpenAgreement`.

    Args:
        order: The judged command.
        inputs: Holdings, systems and tariffs.
        accounts: The agreements that there are.
        members: Everybody whom it may name.

    Raises:
        NotFound: There is no such holding, tariff, feed or member.
        Refused: By the rule that the code names.
    """
    body = order.body(OpenAgreement)
    holding = inputs.holdings.get(body.holding)
    if holding is None or inputs.is_reclaimed(body.holding):
        raise NotFound("unknown-holding", f"no holding {body.holding}", field="body.holding")
    system, holder = inputs.systems[holding.system], inputs.holder(body.holding)
    if order.signer.member != holder:
        raise Refused("not-your-holding", f"{holder} holds it", field="member")
    if is_reserved_key(body.agreement):  # the ledger's facts of a payment stand under this id
        raise Refused("id-reserved", f"none may be called {body.agreement}", field="body.agreement")
    if body.agreement in accounts.all:
        raise Refused("agreement-exists", "the id is taken", field="body.agreement")
    if accounts.of_holding(body.holding) is not None:
        raise Refused("holding-has-agreement", "one agreement each", field="body.holding")
    if body.terms != system.terms:
        raise Refused("other-terms", "the investors signed other terms", field="body.terms")
    if body.rating_interval_s != system.rating_interval_s:
        raise Refused(
            "other-interval",
            f"the system is rated every {system.rating_interval_s} s",
            field="body.rating_interval_s",
        )
    _check_times(body)
    first = _first_day(body, system, order.time)
    _check_tariff(inputs, body, system, local_midnight(first, system.time_zone))
    _check_payees(body, members)
    check_margin(inputs.prices, body, system, holding.units)
    return _agreement(order, body, holding, system)


def _check_times(body: OpenAgreement) -> None:
    """The recipient alone signs these; too long ones would put lateness off for ever."""
    limits = (
        ("due_after_s", body.due_after_s, DUE_AFTER_S_MAX),
        ("settlement_lag_s", body.settlement_lag_s, SETTLEMENT_LAG_S_MAX),
        ("notice_s", body.notice_s or 0, NOTICE_S_MAX),
    )
    for name, seconds, most in limits:
        if seconds > most:
            raise Refused("too-long", f"at most {most} s", field=f"body.{name}")


def _first_day(body: OpenAgreement, system: SystemProposed, now: datetime) -> date:
    first, today = as_date(body.first_day), local_day(now, system.time_zone)
    if first < today - timedelta(days=1):
        raise Refused("first-day-past", "it lies in the past", field="body.first_day")
    if first > today + timedelta(days=FIRST_DAY_AHEAD_MAX):
        raise Refused(
            "first-day-far",
            f"it lies more than {FIRST_DAY_AHEAD_MAX} days ahead",
            field="body.first_day",
        )
    return first


def _check_tariff(
    inputs: Inputs, body: OpenAgreement, system: SystemProposed, starts_at: datetime
) -> None:
    """A tariff that holds from the first day on, in the system's asset or with a rate to it."""
    versions = inputs.prices.versions(body.tariff)
    if not versions:
        raise NotFound("unknown-tariff", f"no tariff {body.tariff}", field="body.tariff")
    version = version_at(versions, starts_at)
    if version is None:
        raise Refused(
            "tariff-gap",
            f"no version holds at {format_instant(starts_at)}, when first_day begins at the site",
            field="body.tariff",
        )
    asset = version[0].asset
    if body.rate_feed is None:
        if asset != system.asset:
            rule = f"the tariff is in {asset}, the system in {system.asset}: name a rate_feed"
            raise Refused("wrong-asset", rule, field="body.tariff")
        return
    rules = inputs.prices.feeds.get(body.rate_feed)
    if rules is None or rules.kind != "rate":
        raise NotFound("unknown-rate-feed", f"no rate {body.rate_feed}", field="body.rate_feed")
    if rules.asset != system.asset or asset not in {rules.base, system.asset}:
        raise Refused(
            "wrong-asset",
            f"{body.rate_feed} is the rate of {rules.base} in {rules.asset}; "
            f"the tariff is in {asset}, the system in {system.asset}",
            field="body.rate_feed",
        )


def _check_payees(body: OpenAgreement, members: Members) -> None:
    """Whoever is paid is a member; a tax is on other classes than tax, each once."""
    if body.upkeep is not None and members.get(body.upkeep.payee) is None:
        raise NotFound("unknown-member", f"no {body.upkeep.payee}", field="body.upkeep.payee")
    for place, tax in enumerate(body.taxes or ()):
        field = f"body.taxes.{place}"
        if members.get(tax.authority) is None:
            raise NotFound("unknown-member", f"no {tax.authority}", field=f"{field}.authority")
        if "tax" in tax.on:
            raise Refused("tax-on-tax", "a tax is on other lines", field=f"{field}.on")
        if len(set(tax.on)) != len(tax.on):
            raise Refused("duplicate-class", "each class stands once", field=f"{field}.on")


def _agreement(
    order: Order, body: OpenAgreement, holding: HoldingOpened, system: SystemProposed
) -> AgreementOpened:
    return AgreementOpened(
        agreement=body.agreement,
        holding=body.holding,
        system=holding.system,
        recipient=order.signer.member,
        tariff=body.tariff,
        asset=system.asset,
        rate_feed=body.rate_feed,
        period=body.period,
        time_zone=system.time_zone,
        first_day=body.first_day,
        term_periods=body.term_periods,
        rating_interval_s=body.rating_interval_s,
        settlement_lag_s=body.settlement_lag_s,
        due_after_s=body.due_after_s,
        terms=body.terms,
        expected_wh_year=body.expected_wh_year,
        grace_periods=body.grace_periods or GRACE_PERIODS,
        notice_s=NOTICE_S if body.notice_s is None else body.notice_s,
        upkeep=body.upkeep,
        taxes=body.taxes or (),
        command=order.text,
    )
