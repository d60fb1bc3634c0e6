"""What is known of a connection beside its messages: what the opening handshake settled, and counts."""

from __future__ import annotations

import marshal
from typing import Any, NamedTuple, TypeAlias

from ..protocol.handshake import Request
from ..session.counts import Statistics
from ..session.opening.facts import KeptRequest, Opening

__all__ = ["Folded", "Incoming", "Opening", "Statistics", "fold", "unfold"]


Folded: TypeAlias = bytes | tuple[bytes, Any]


def fold(opening: Opening) -> Opening | Folded:
    """What takes a fifth of the memory, for a server's connection that nobody may ever ask about its request; or
    `opening`, if it has what cannot be folded. `rest` is left out.
    """
    settled: tuple[Any, ...] = opening.subprotocol, opening.local_address, opening.remote_address
    kept = opening.kept
    if kept is not None:
        settled = (*settled, kept.scheme, kept.host, kept.head)
    else:
        request = opening.request
        if request is None or opening.response is not None or request.user is not opening.user:
            return opening
        settled = (*settled, request.to_plain())
    try:
        folded = marshal.dumps(settled)
    except ValueError:
        return opening
    return folded if opening.user is None else (folded, opening.user)


def unfold(folded: Folded) -> Opening:
    """What was folded, anew."""
    facts, user = folded if isinstance(folded, tuple) else (folded, None)
    subprotocol, local, remote, *asked = marshal.loads(facts)
    if len(asked) == 1:
        request: Request | KeptRequest = Request.from_plain(asked[0], user)
    else:
        scheme, host, head = asked
        request = KeptRequest(head, scheme, host)
    return Opening(request=request, subprotocol=subprotocol, user=user, local_address=local, remote_address=remote)


class Incoming(NamedTuple):
    """A message of the peer's that has come in part."""

    number: int
    """How many have come before it."""
    size: int
    """How many bytes of it have come."""
    is_paused: bool
    """Whether we do not read on."""
