"""The limits of `session.site.limits` in a Trio program: one count for a whole run, and waiting for room.

Decides that all servers of a run that leave `max_connections` to us share one count, since descriptors belong to the
process.
"""

import trio
from trio.lowlevel import ParkingLot, RunVar

from wscore.session.rates import Rate
from wscore.session.site.limits import AddressLimits, Limits, Meter, meter_of_connections

__all__ = ["limits_of", "wait_for_room"]

_in_this_run: RunVar[Meter] = RunVar("wscore_connections")


def limits_of(
    max_connections: int | None,
    max_handshakes: int,
    *,
    rate: Rate | None = None,
    addresses: AddressLimits | None = None,
) -> Limits:
    """The places of one server; None for what is left of the process's descriptors. Raises as `Limits`."""
    connections = _connections_of_this_run() if max_connections is None else max_connections
    return Limits(connections, max_handshakes, rate=rate, addresses=addresses, clock=trio.current_time)


def _connections_of_this_run() -> Meter:
    meter = _in_this_run.get(None)  # type: ignore[arg-type]
    if meter is None:
        meter = meter_of_connections()
        _in_this_run.set(meter)
    return meter


async def wait_for_room(limits: Limits) -> None:
    """Wait until one more connection may be accepted. Cancelled, nothing has happened."""
    change = ParkingLot()
    with limits.watched(change.unpark_all):
        while (wait := limits.until_room()) > 0:
            with trio.move_on_after(wait):
                await change.park()
