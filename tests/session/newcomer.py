"""A driver without I/O around a `ServerOpening`: what tests of the way in drive. Tests move the time."""

from contextvars import Context

from wscore.protocol.origin import SitePolicy
from wscore.protocol.request import Accept
from wscore.session import Options
from wscore.session.opening import ServerOpening
from wscore.session.site.admission import Admission
from wscore.session.site.limits import AddressLimits, Limits
from wscore.session.site.statistics import Tally

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
PROOF = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
UPGRADE = {
    "Host": "example.org",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}
LOCAL, REMOTE = ("192.0.2.1", 80), ("198.51.100.7", 40_000)


def request(line="GET /chat?room=1 HTTP/1.1", **fields):
    """A good request, with fields changed, added, or (None) left out; an underscore is a hyphen."""
    changed = {**UPGRADE, **{name.replace("_", "-"): value for name, value in fields.items()}}
    lines = [line, *(f"{name}: {value}" for name, value in changed.items() if value is not None)]
    return "".join(f"{each}\r\n" for each in [*lines, ""]).encode()


PAGE = request("GET /page HTTP/1.1", Upgrade=None, Connection=None)


class Buffers:
    """What connections hold, as far as it is told."""

    def __init__(self):
        self.is_over = False
        self.held = 0

    def change_by_handshake(self, by):
        self.held += by


class Server:
    """What the newcomers of one server have in common."""

    def __init__(self, *, limits=None, sites=None, options=None, is_counted=True, **more):
        self.now = 100.0
        self.tally = Tally()
        self.buffers = Buffers()
        self.limits = limits or Limits(10, 10, addresses=AddressLimits(), clock=lambda: self.now)
        self.admission = Admission(
            Options(**(options or {})),
            sites=sites or SitePolicy(),
            tally=self.tally,
            date=lambda: "Sun, 06 Nov 1994 08:49:37 GMT",
            buffers=self.buffers if is_counted else None,
            **more,
        )

    def comes(self, remote=REMOTE, *, placed=True, in_context=False, **more):
        """One more has come in."""
        place = self.limits.enter() if placed else None
        context = Context() if in_context else None
        opening = ServerOpening(self.admission, LOCAL, remote, self.now, place=place, context=context, **more)
        if place is not None:
            place.waits(opening.give_way)
        return opening

    @property
    def counted(self):
        """What was counted, but for what was not."""
        tally = self.tally
        counts = {"refused": dict(tally.reasons), "dropped": {k: v for k, v in tally.dropped.items() if v}}
        counts |= {"pages": tally.pages, "tls": tally.tls_failures, "errors": tally.errors}
        return {name: count for name, count in counts.items() if count}


def status_of(output):
    """The status of the response that begins an output."""
    return int(output.split(b" ", 2)[1])


def outcome(opening):
    """What has become of a newcomer, and the status that it was told."""
    output = opening.output()
    return opening.stage, status_of(output) if output else None


def outcome_of(thinking):
    """Let the application think to the end."""
    try:
        thinking.send(None)
    except StopIteration as end:
        return end.value


class Later:
    """What may be awaited for an answer, or not."""

    def __await__(self):
        return Accept()
        yield


def accept_later(_request):
    """A hook that thinks."""
    return Later()
