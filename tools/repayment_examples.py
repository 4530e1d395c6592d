"""The examples of paying: what Raul pays, what clears what, and money that nobody expected."""

from dataclasses import replace

from libs.events import books, commands, repaying
from libs.events import system_commands as asked
from libs.events.command import Command
from libs.events.fact import Fact
from libs.events.positions import Position, write_cause
from tools.example_parts import (
    AUGUST,
    BILLING,
    BOOK,
    JULY,
    LEDGER,
    MEMBERS,
    SPRING,
    USD,
    Example,
    at,
    claims,
    from_command,
    from_time,
    least_of,
    signed,
)
from tools.ownership_examples import AGREEMENT, HOLDING, PRICE_STROOPS

JUNE_BILL, JULY_BILL = "raul-home-2016-06", "raul-home-2016-07"

DEPOSIT = claims(
    "anna",
    "ines-pays-in",
    commands.DepositFunds(member="ines", asset=USD, amount_stroops=25_000_000_000),
    BOOK,
    SPRING,
)
RECEIVE = claims(
    "anna",
    "bank-line-17",
    commands.ReceiveFunds(asset=USD, amount_stroops=500_000_000, reference="for the roof, R."),
    BOOK,
    AUGUST,
)
SETTLE = claims(
    "anna",
    "line-17-is-rauls",
    commands.SettleSuspense(receipt="anna.bank-line-17", member="raul"),
    BOOK,
    AUGUST,
)
WITHDRAW = claims(
    "anna",
    "ines-is-paid-out",
    commands.WithdrawFunds(member="ines", asset=USD, amount_stroops=211_383_750),
    BOOK,
    AUGUST,
)
PAY = claims(
    "raul",
    "july-paid",
    asked.Pay(agreement=AGREEMENT, amount_stroops=340_000_000),
    BOOK,
    AUGUST,
)
PAY_JULY = claims(
    "raul",
    "july-named",
    asked.Pay(agreement=AGREEMENT, amount_stroops=340_000_000, asset=USD, invoice=JULY_BILL),
    BOOK,
    AUGUST,
)
PREPAY = claims(
    "raul",
    "some-more",
    asked.Prepay(agreement=AGREEMENT, amount_stroops=1_000_000_000),
    BOOK,
    AUGUST,
)
TAKE_CREDIT = claims(
    "raul",
    "credit-back",
    asked.RefundCredit(agreement=AGREEMENT, amount_stroops=786_000),
    BOOK,
    AUGUST,
)
STANDING_ORDER = claims(
    "raul",
    "by-itself",
    asked.SetStandingOrder(agreement=AGREEMENT, limit_stroops=600_000_000),
    BOOK,
    JULY,
)

REPAYMENT_COMMANDS = (
    DEPOSIT,
    RECEIVE,
    SETTLE,
    WITHDRAW,
    PAY,
    PAY_JULY,
    PREPAY,
    TAKE_CREDIT,
    STANDING_ORDER,
)
"""Every command about book money and repayment, each shape once, the first shape first."""

OLD_PAYMENT = Position(LEDGER, 12, "6313e141c88cd6a8b137ee0571731cd9")
"""Where the payment stood, in its first version, when the first transfer of title was written."""

RETURNS = (
    books.MoneyMove(member="ines", amount_stroops=106_164_384),
    books.MoneyMove(member="ivo", amount_stroops=63_698_630),
)
PRINCIPAL = (
    books.MoneyMove(member="ines", amount_stroops=105_219_366),
    books.MoneyMove(member="ivo", amount_stroops=63_131_620),
)
JULY_ENERGY = books.Cleared(invoice=JULY_BILL, line_class="energy", amount_stroops=338_214_000)
JUNE_TAX = books.Cleared(
    invoice=JUNE_BILL,
    line_class="tax",
    amount_stroops=1_000_000,
    into="tax",
    payee="county",
)


def _money() -> list[Example]:
    deposited = books.FundsDeposited.model_validate(
        {**DEPOSIT.body.model_dump(), "command": signed(DEPOSIT)}
    )
    opening = Example(
        LEDGER,
        "ines",
        deposited.model_copy(update={"command": None}),
        "ines.opening.deposit",
        SPRING,
        write_cause(at(MEMBERS, 5), "anna.register-ines.member"),
        is_least=True,
    )
    receipt = {"receipt": "anna.bank-line-17", "asset": USD, "amount_stroops": 500_000_000}
    received = repaying.FundsReceived.model_validate(
        receipt | {"agreement": AGREEMENT, "command": signed(RECEIVE)}
    )
    suspended = repaying.FundsSuspended.model_validate(
        receipt
        | {
            "reference": "for the roof, R.",
            "reason": "unknown-reference",
            "command": signed(RECEIVE),
        }
    )
    settled = repaying.SuspenseSettled.model_validate(
        receipt | {"member": "raul", "command": signed(SETTLE)}
    )
    withdrawn = repaying.FundsWithdrawn.model_validate(
        {**WITHDRAW.body.model_dump(), "command": signed(WITHDRAW)}
    )
    to_raul = _of(SETTLE, "settled", settled, 32, "suspense")
    to_agreement = settled.model_copy(update={"member": None, "agreement": AGREEMENT})
    return [
        _of(DEPOSIT, "deposit", deposited, 1, "ines"),
        opening,
        _of(RECEIVE, "received", received, 30),
        _of(RECEIVE, "suspended", suspended, 31, "suspense"),
        to_raul,
        replace(to_raul, fact=to_agreement, id="anna.line-18.settled", variant="agreement"),
        least_of(to_raul, member=None),
        _of(WITHDRAW, "withdrawn", withdrawn, 33, "ines"),
    ]


def _payments() -> list[Example]:
    settled = books.PaymentSettled(
        payment="raul.july-named",
        agreement=AGREEMENT,
        payer="raul",
        asset=USD,
        kind="invoices",
        amount_stroops=340_000_000,
        cleared=(JUNE_TAX, JULY_ENERGY),
        returns=RETURNS,
        principal=PRINCIPAL,
        credit_stroops=786_000,
        command=signed(PAY_JULY),
    )
    automatic = {"payment": "raul-home.auto.1", "kind": "standing-order"}
    moved = books.OwnershipTransferred(
        payment="raul.july-paid",
        system="sunrise",
        holding=HOLDING,
        agreement=AGREEMENT,
        to_member="raul",
        moves=(
            books.TitleMove(member="ines", shares=105_219_366),
            books.TitleMove(member="ivo", shares=63_131_620),
        ),
        own_shares=168_350_986,
        holding_units=PRICE_STROOPS,
    )
    first = _of(PAY_JULY, "settled", settled, 12)
    because = write_cause(OLD_PAYMENT, "raul.july-paid.settled")
    issued = write_cause(at(BILLING, 2), f"{JULY_BILL}.issued")
    bare = least_of(first, command=None, **automatic)
    return [
        first,
        replace(bare, id="raul-home.auto.1", cause=issued),
        Example(LEDGER, AGREEMENT, moved, "raul.july-paid.title", first.time, because, 3, 13),
    ]


def _credit() -> list[Example]:
    applied = repaying.CreditApplied(
        application="raul-home.credit.1",
        agreement=AGREEMENT,
        asset=USD,
        amount_stroops=339_214_000,
        cleared=(JUNE_TAX, JULY_ENERGY),
        returns=RETURNS,
        principal=PRINCIPAL,
        credit_stroops=0,
    )
    refunded = repaying.CreditRefunded(
        agreement=AGREEMENT,
        member="raul",
        asset=USD,
        amount_stroops=786_000,
        command=signed(TAKE_CREDIT),
    )
    order = repaying.StandingOrderSet(
        agreement=AGREEMENT,
        member="raul",
        limit_stroops=600_000_000,
        command=signed(STANDING_ORDER),
    )
    accrued = repaying.ReturnAccrued(
        agreement=AGREEMENT,
        system="sunrise",
        asset=USD,
        from_day="2016-07-01",
        until_day="2016-08-01",
        principal_stroops=PRICE_STROOPS,
        return_ppm_year=50_000,
        amount_stroops=169_863_014,
        moves=RETURNS,
    )
    later = applied.model_copy(update={"cleared": (JULY_ENERGY,), "amount_stroops": 338_214_000})
    by_credit = _by_itself("raul-home.credit.1", applied)
    return [
        by_credit,
        least_of(by_credit, cleared=later.cleared, amount_stroops=later.amount_stroops),
        _of(TAKE_CREDIT, "refund", refunded, 34),
        _of(STANDING_ORDER, "standing", order, 14),
        _by_itself("raul-home.2016-08-01.return", accrued),
    ]


def _undone() -> list[Example]:
    about = {"agreement": AGREEMENT, "asset": USD}
    on_invoice = about | {"invoice": JULY_BILL}
    settled = repaying.CreditNoteSettled.model_validate(
        on_invoice
        | {
            "credit_note": f"{JULY_BILL}.credit",
            "unpaid": (books.ClassAmount(line_class="energy", amount_stroops=138_214_000),),
            "prepaid_stroops": 200_000_000,
            "refunds": (
                repaying.Refund(
                    line_class="tax",
                    into="tax",
                    payee="county",
                    refunded_stroops=600_000,
                    owed_stroops=400_000,
                ),
            ),
        }
    )
    received = repaying.RefundReceived.model_validate(
        about | {"payee": "county", "into": "tax", "amount_stroops": 400_000}
    )
    applied = repaying.PrepaidApplied.model_validate(
        on_invoice | {"amount_stroops": 150_000_000, "prepaid_stroops": 50_000_000}
    )
    capped = repaying.InvoiceCapped.model_validate(
        on_invoice | {"amount_stroops": 12_000_000, "reason": "owed"}
    )
    return [
        _by_itself(f"{JULY_BILL}.credit.settled", settled),
        _by_itself("raul-home.county.refund", received),
        _by_itself(f"{JULY_BILL}.prepaid", applied),
        _by_itself(f"{JULY_BILL}.capped", capped),
    ]


def _by_itself(name: str, fact: Fact) -> Example:
    return from_time(LEDGER, AGREEMENT, name, fact)


def _of(command: Command, kind: str, fact: Fact, sequence: int, key: str = AGREEMENT) -> Example:
    return from_command(LEDGER, command, kind, key, fact, sequence=sequence)


def repayment_examples() -> list[Example]:
    """One full example of every fact of money and repayment."""
    return [*_money(), *_payments(), *_credit(), *_undone()]
