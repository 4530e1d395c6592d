"""The examples of systems: Dora proposes a roof, Ines and Ivo pay for it, Raul comes to hold it."""

from datetime import timedelta

from libs.events import system_commands as asked
from libs.events import systems
from libs.events.books import HoldingOpened, SystemApproved, Terms, TitleMove, UnitMove
from libs.events.command import Command
from libs.events.fact import Fact
from tools.example_parts import (
    AUGUST,
    BOOK,
    JULY,
    LEDGER,
    NOON,
    SPRING,
    USD,
    Example,
    claims,
    from_command,
    from_time,
    least_of,
    signed,
)

TERMS = Terms(return_ppm_year=50_000, minimum_payment_stroops=100_000_000)
PRICE_STROOPS = 40_000_000_000
SEED = systems.SeedRound(factor_ppm=1_200_000, cap_stroops=5_000_000_000)
QUOTE_SHA256 = "3f" * 32
AGREEMENT = "raul-home"
HOLDING = "raul-sunrise"

PROPOSE = claims(
    "dora",
    "propose-sunrise",
    asked.ProposeSystem(
        system="sunrise",
        asset=USD,
        price_stroops=PRICE_STROOPS,
        nameplate_w=5_000,
        site="foothills",
        time_zone="America/Denver",
        terms=TERMS,
    ),
    BOOK,
    SPRING,
)
PROPOSE_ALL = claims(
    "dora",
    "propose-all",
    asked.ProposeSystem(
        system="sunrise",
        asset=USD,
        price_stroops=PRICE_STROOPS,
        nameplate_w=5_000,
        site="foothills",
        time_zone="America/Denver",
        terms=TERMS,
        recipient="raul",
        seed=SEED,
        cover_stroops=2_000_000_000,
        offtaker="grid-company",
    ),
    BOOK,
    SPRING,
)
APPROVE = claims("anna", "approve-sunrise", asked.ApproveSystem(system="sunrise"), BOOK, SPRING)
ADVANCE_STAGE = claims(
    "dora",
    "quotes-are-in",
    asked.AdvanceStage(
        system="sunrise",
        to_stage=3,
        checklist=("quotes-compared", "contractor-chosen"),
        documents=(asked.DocumentNamed(kind="quote", sha256=QUOTE_SHA256),),
    ),
    BOOK,
    SPRING,
)
INVEST = claims(
    "ines",
    "invest-1",
    asked.Invest(system="sunrise", amount_stroops=25_000_000_000, terms=TERMS),
    BOOK,
    SPRING,
)
INVEST_SAFELY = claims(
    "ines",
    "invest-2",
    asked.Invest(system="sunrise", amount_stroops=25_000_000_000, terms=TERMS, is_at_risk=False),
    BOOK,
    SPRING,
)
ACCEPT = claims("raul", "accept-sunrise", asked.AcceptRaise(system="sunrise"), BOOK, SPRING)
CANCEL = claims("anna", "cancel-sunrise", asked.CancelRaise(system="sunrise"), BOOK, SPRING)
CONFIRM = claims(
    "raul",
    "panels-are-up",
    asked.PayContractor(
        system="sunrise", payout="panels", contractor="carla", amount_stroops=12_000_000_000
    ),
    BOOK,
    SPRING,
)
COVER = claims(
    "gina",
    "cover-1",
    asked.DepositCover(system="sunrise", amount_stroops=2_000_000_000),
    BOOK,
    SPRING,
)
HOLD = claims(
    "anna",
    "raul-holds",
    asked.OpenHolding(holding=HOLDING, system="sunrise", recipient="raul", units=PRICE_STROOPS),
    BOOK,
    SPRING,
)
OFFER_HOLDING = claims(
    "raul", "raul-moves", asked.OfferHolding(holding=HOLDING, to_member="rosa"), BOOK, JULY
)
TAKE_HOLDING = claims("rosa", "rosa-comes", asked.AcceptHolding(holding=HOLDING), BOOK, NOON)
RECLAIM = claims("anna", "reclaim-sunrise", asked.ReclaimHolding(holding=HOLDING), BOOK, AUGUST)
OFFER_SHARES = claims(
    "ines",
    "offer-1",
    asked.OfferShares(
        system="sunrise",
        to_member="ivo",
        shares=5_000_000_000,
        price_stroops=4_900_000_000,
        expires_at=AUGUST,
    ),
    BOOK,
    JULY,
)
TAKE_SHARES = claims("ivo", "take-offer-1", asked.AcceptShares(offer="ines.offer-1"), BOOK, NOON)

OWNERSHIP_COMMANDS = (
    PROPOSE,
    PROPOSE_ALL,
    APPROVE,
    ADVANCE_STAGE,
    INVEST,
    INVEST_SAFELY,
    ACCEPT,
    CANCEL,
    CONFIRM,
    COVER,
    HOLD,
    OFFER_HOLDING,
    TAKE_HOLDING,
    RECLAIM,
    OFFER_SHARES,
    TAKE_SHARES,
)
"""Every command of systems and holdings, each shape once, the first shape first."""


def _stages() -> list[Example]:
    proposal = PROPOSE_ALL.body.model_dump()
    proposed = systems.SystemProposed.model_validate(
        {**proposal, "proposer": "dora", "command": signed(PROPOSE_ALL)}
    )
    approved = SystemApproved(system="sunrise", shares=PRICE_STROOPS, command=signed(APPROVE))
    advanced = systems.StageAdvanced(
        system="sunrise",
        from_stage=2,
        to_stage=3,
        checklist=("quotes-compared", "contractor-chosen"),
        documents=(systems.Document(kind="quote", sha256=QUOTE_SHA256),),
        command=signed(ADVANCE_STAGE),
    )
    first = _of(PROPOSE_ALL, "system", proposed, 2)
    stage = _of(ADVANCE_STAGE, "stage", advanced, 4)
    bare = {"recipient": None, "seed": None, "offtaker": None, "cover_stroops": 0}
    by_itself = {"from_stage": 4, "to_stage": 5, "checklist": (), "documents": ()}
    return [
        first,
        least_of(first, **bare),
        _of(APPROVE, "approved", approved, 3),
        stage,
        least_of(stage, command=None, **by_itself),
    ]


def _raise() -> list[Example]:
    invested = systems.InvestmentMade(
        investment="ines.invest-2",
        system="sunrise",
        investor="ines",
        asset=USD,
        amount_stroops=25_000_000_000,
        round="raise",
        units=25_000_000_000,
        is_at_risk=False,
        terms=TERMS,
        command=signed(INVEST_SAFELY),
    )
    refunded = systems.InvestmentRefunded(
        investment="ines.invest-2",
        system="sunrise",
        investor="ines",
        asset=USD,
        amount_stroops=25_000_000_000,
        units=25_000_000_000,
        to_member="ines",
    )
    accepted = systems.RaiseAccepted(
        system="sunrise",
        recipient="raul",
        asset=USD,
        moves=(
            UnitMove(member="ines", shares=25_000_000_000, amount_stroops=25_000_000_000),
            UnitMove(member="ivo", shares=15_000_000_000, amount_stroops=15_000_000_000),
        ),
        units=PRICE_STROOPS,
        command=signed(ACCEPT),
    )
    cancelled = systems.RaiseCancelled(system="sunrise", reason="cancelled", command=signed(CANCEL))
    end = _of(CANCEL, "cancelled", cancelled, 6)
    return [
        _of(INVEST_SAFELY, "investment", invested, 5),
        from_time(LEDGER, "sunrise", "ines.invest-2.refund", refunded, JULY, sequence=7),
        _of(ACCEPT, "accepted", accepted, 8),
        end,
        least_of(end, command=None, reason="not-accepted"),
    ]


def _building() -> list[Example]:
    payout = {"payout": "panels", "system": "sunrise", "contractor": "carla", "asset": USD}
    what = {**payout, "amount_stroops": 12_000_000_000, "command": signed(CONFIRM)}
    confirmed = systems.PayoutApproved.model_validate(
        {**what, "confirmed_by": "raul", "confirmed_as": "recipient"}
    )
    covered = systems.CoverDeposited(
        system="sunrise",
        guarantor="gina",
        asset=USD,
        amount_stroops=2_000_000_000,
        command=signed(COVER),
    )
    released = systems.CoverReleased(
        system="sunrise", guarantor="gina", asset=USD, amount_stroops=1_550_000_000
    )
    return [
        _of(CONFIRM, "payout", confirmed, 9),
        _of(CONFIRM, "paid", systems.ContractorPaid.model_validate(what), 10),
        _of(COVER, "cover", covered, 7),
        from_time(LEDGER, "sunrise", "sunrise.gina.cover-released", released),
    ]


def _title() -> list[Example]:
    offered = systems.SharesOffered(
        offer="ines.offer-1",
        system="sunrise",
        from_member="ines",
        to_member="ivo",
        asset=USD,
        shares=5_000_000_000,
        price_stroops=4_900_000_000,
        expires_at=AUGUST,
        command=signed(OFFER_SHARES),
    )
    moved = systems.SharesTransferred(
        offer="ines.offer-1",
        system="sunrise",
        from_member="ines",
        to_member="ivo",
        asset=USD,
        shares=5_000_000_000,
        price_stroops=4_900_000_000,
        command=signed(TAKE_SHARES),
    )
    return [_of(OFFER_SHARES, "offer", offered, 20), _of(TAKE_SHARES, "shares", moved, 21)]


def _holdings() -> list[Example]:
    opened = HoldingOpened.model_validate({**HOLD.body.model_dump(), "command": signed(HOLD)})
    hands = {"holding": HOLDING, "from_member": "raul", "to_member": "rosa"}
    offered = systems.HoldingOffered.model_validate(hands | {"command": signed(OFFER_HOLDING)})
    accepted = systems.HoldingAccepted.model_validate(
        hands | {"effective_at": AUGUST, "command": signed(TAKE_HOLDING)}
    )
    moved = systems.HoldingTransferred.model_validate(hands | {"agreement": AGREEMENT})
    own = {"holding": HOLDING, "system": "sunrise", "agreement": AGREEMENT}
    owned = systems.HoldingOwned.model_validate(
        own | {"member": "raul", "units": PRICE_STROOPS, "asset": USD}
    )
    reclaimed = systems.HoldingReclaimed(
        holding=HOLDING,
        system="sunrise",
        agreement=AGREEMENT,
        member="raul",
        units=PRICE_STROOPS,
        moves=(TitleMove(member="raul", shares=168_350_986),),
        command=signed(RECLAIM),
    )
    late = AUGUST + timedelta(days=400)
    transferred = from_time(LEDGER, HOLDING, "raul-sunrise.transferred", moved)
    return [
        _of(HOLD, "holding", opened, 6, HOLDING),
        _of(OFFER_HOLDING, "offered", offered, 22, HOLDING),
        _of(TAKE_HOLDING, "taken", accepted, 23, HOLDING),
        transferred,
        least_of(transferred, agreement=None),
        from_time(LEDGER, HOLDING, "raul-sunrise.owned", owned, late, sequence=98),
        from_time(
            LEDGER,
            "sunrise",
            "sunrise.paid-off",
            systems.SystemPaidOff(system="sunrise", holding_count=1),
            late,
            sequence=99,
        ),
        _of(RECLAIM, "reclaimed", reclaimed, 90, HOLDING),
    ]


def _of(command: Command, kind: str, fact: Fact, sequence: int, key: str = "sunrise") -> Example:
    return from_command(LEDGER, command, kind, key, fact, sequence=sequence)


def ownership_examples() -> list[Example]:
    """One full example of every fact of systems, holdings and title."""
    return [*_stages(), *_raise(), *_building(), *_title(), *_holdings()]
