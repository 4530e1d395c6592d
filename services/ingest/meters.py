"""The rules of ingest for METERS: which meter speaks with which key. Pure."""

from collections.abc import Sequence

from libs.events.commands import EnrolMeter
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.metering import REGISTERS_OF, MeterEnrolled
from libs.events.subjects import TIME_KEY, partition_of
from libs.rules.authority import Authority, Order
from libs.runtime.failures import Refused

RESERVED = frozenset({TIME_KEY, "unknown"})
"""Names that no meter may have: the clock's key, and what stands for a meter nobody knows."""


class Meters:
    """State and rules of METERS of one partition."""

    def __init__(
        self, *, authority: Authority, stream: str, partition: int, partitions: int
    ) -> None:
        """Begin with no meter.

        Args:
            authority: Judges commands; fed by this object.
            stream: The own stream, `METERS_<p>`.
            partition: The partition of this process.
            partitions: Number of partitions of the installation.
        """
        self.authority = authority
        self._stream = stream
        self._partition, self._partitions = partition, partitions
        self._enrolled: set[str] = set()

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact of METERS, MEMBERS or PRICES."""
        self.authority.evolve(recorded, own=recorded.stream == self._stream)
        if isinstance(recorded.fact, MeterEnrolled):
            self._enrolled.add(recorded.fact.meter)

    def due(self) -> Sequence[Draft]:
        """Nothing ever follows by itself."""
        return ()

    def decide(self, order: Order) -> Sequence[Draft]:
        """Enrol a meter.

        Raises:
            Refused: The signer is no approver, or a field breaks its rule; the code names it.
        """
        if not isinstance(order.command.body, EnrolMeter):
            raise Refused("wrong-service", f"{order.command.command} is not for meters")
        order.require("approver")
        body = order.body(EnrolMeter)
        self._check_meter(body.meter)
        _check_role(body)
        fact = MeterEnrolled(
            meter=body.meter,
            address=body.address,
            role=body.role,
            system=body.system,
            holding=body.holding,
            site=body.site,
            nameplate_w=body.nameplate_w,
            starts=body.starts,
            command=order.text,
        )
        return (Draft(body.meter, fact, f"{order.id}.meter", order.time),)

    def _check_meter(self, meter: str) -> None:
        if meter in RESERVED:
            raise Refused("meter-reserved", f"no meter may be called {meter}", field="body.meter")
        if meter in self._enrolled:
            raise Refused("meter-known", f"{meter} is enrolled already", field="body.meter")
        partition = partition_of(meter, self._partitions)
        if partition != self._partition:
            raise Refused(
                "wrong-partition",
                f"{meter} belongs to partition {partition}, this is {self._partition}",
                field="body.meter",
            )


def _check_role(body: EnrolMeter) -> None:
    """Check what depends on the role: the registers and the holding."""
    names = [value.name for value in body.starts]
    expected = REGISTERS_OF[body.role]
    if len(names) != len(expected) or set(names) != expected:
        raise Refused(
            "wrong-registers",
            f"a {body.role} meter starts with {', '.join(sorted(expected))}, each once",
            field="body.starts",
        )
    if body.role == "consumption" and body.holding is None:
        raise Refused(
            "holding-missing", "a consumption meter measures one holding", field="body.holding"
        )
    if body.role != "consumption" and body.holding is not None:
        raise Refused(
            "holding-not-allowed",
            f"a {body.role} meter belongs to the system and to no holding",
            field="body.holding",
        )
