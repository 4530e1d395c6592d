"""Rows of supply: what becomes of energy and cover when somebody is late. Pure."""

from libs.events import (
    FirstLossCovered,
    GridEnergySold,
    GridProceedsReceived,
    PaygoDeviceAssigned,
    Recorded,
    SupplyDisconnected,
    SupplyDiverted,
    SupplyRestored,
    SupplyTokenIssued,
)
from services.projection.ownership_tables import (
    FIRST_LOSS,
    GRID_PROCEEDS,
    GRID_SALE,
    PAYGO_DEVICE,
    SUPPLY_CHANGE,
    SUPPLY_TOKEN,
)
from services.projection.tables import TITLE_MOVE
from services.projection.views.place import Rows, row


def diverted(recorded: Recorded[SupplyDiverted]) -> Rows:
    """One row per diversion."""
    fact = recorded.fact
    yield SUPPLY_CHANGE, row(recorded, fact.holding, fact.agreement, "diverted", fact.invoice)


def disconnected(recorded: Recorded[SupplyDisconnected]) -> Rows:
    """One row per disconnection."""
    fact = recorded.fact
    yield SUPPLY_CHANGE, row(recorded, fact.holding, fact.agreement, "disconnected", fact.invoice)


def restored(recorded: Recorded[SupplyRestored]) -> Rows:
    """One row per cure."""
    fact = recorded.fact
    yield SUPPLY_CHANGE, row(recorded, fact.holding, fact.agreement, "restored", None)


def first_loss_covered(recorded: Recorded[FirstLossCovered]) -> Rows:
    """One row for the cover that paid, and one per investor whose title the guarantor took over."""
    fact = recorded.fact
    about = (fact.holding, fact.agreement, fact.system, fact.asset, fact.guarantor)
    returned = sum(move.amount_stroops for move in fact.returns)
    principal = sum(move.shares for move in fact.principal)
    amounts = (fact.amount_stroops, returned, principal, fact.cover_left_stroops)
    yield FIRST_LOSS, row(recorded, *about, *amounts)
    where = ("cover", fact.system, fact.holding, fact.agreement, None)
    for part, move in enumerate(fact.principal, 1):
        hands = (move.member, fact.guarantor)
        yield TITLE_MOVE, row(recorded, part, *where, *hands, move.shares)


def grid_energy_sold(recorded: Recorded[GridEnergySold]) -> Rows:
    """One row per sale to the grid."""
    fact = recorded.fact
    yield (
        GRID_SALE,
        row(
            recorded,
            fact.holding,
            fact.agreement,
            fact.system,
            fact.member,
            fact.offtaker,
            fact.asset,
            fact.first_interval_at,
            fact.interval_s,
            fact.energies_wh,
            fact.energy_wh,
            fact.tariff,
            fact.price_position,
            fact.price_stroops_per_kwh,
            fact.amount_stroops,
        ),
    )


def grid_proceeds_received(recorded: Recorded[GridProceedsReceived]) -> Rows:
    """One row per payment of an offtaker."""
    fact = recorded.fact
    what = (fact.agreement, fact.offtaker, fact.asset, fact.amount_stroops)
    yield GRID_PROCEEDS, row(recorded, *what)


def paygo_device_assigned(recorded: Recorded[PaygoDeviceAssigned]) -> Rows:
    """One row per device."""
    fact = recorded.fact
    yield PAYGO_DEVICE, row(recorded, fact.device, fact.holding, fact.first_count)


def supply_token_issued(recorded: Recorded[SupplyTokenIssued]) -> Rows:
    """One row per token number that was spent."""
    fact = recorded.fact
    what = (fact.device, fact.holding, fact.agreement, fact.kind, fact.days, fact.count)
    yield SUPPLY_TOKEN, row(recorded, *what, fact.invoice)
