"""A pump without I/O around a `Session`, and a peer at its other end: what tests of sessions drive.

Time stands still until `wait` moves it, from deadline to deadline. What the session says goes through two buffers, as
bytes do: the pump's, which `write` empties, and the system's, which the peer reads.
"""

from math import inf

from wscore.codec import CLIENT, SERVER
from wscore.protocol.connection import Connection
from wscore.protocol.events import Event
from wscore.session import EMPTY, Options, Phase, Session, Wakeup


class Wire:
    """A server's session, and the client that it talks to."""

    new_session = Session

    def __init__(self, *, role=SERVER, now=1000.0, blocks=False, hook=None, **options):
        self.now = now
        self.options = Options(**options)
        self.hook = hook
        """Called with each message for whose answer there is room, in place of who receives."""
        self.session = self.new_session(self._connection(role), self.options, now, answers_at_once=hook is not None)
        self.peer = self._connection(SERVER if role is CLIENT else CLIENT, limits=False)
        self.blocks = blocks
        """Whether what the session says stays in the pump."""
        self.system = b""
        """What has left the pump, and the peer's system has not acknowledged."""
        self.reads = True
        """Whether the peer reads, and its system acknowledges, what has left."""
        self.knows_system = True
        self.times_asked = 0
        """How often the session wanted to know what the peer's system has acknowledged."""
        self.seen: list[Event] = []
        """What the peer has read."""
        self.woken = Wakeup.NOBODY
        self.pump = b""
        """What the session has said, and has not left the pump."""
        self.on_step = lambda: None
        """Called when all has been done that there was to do."""

    def _connection(self, role, *, limits=True):
        bounds = {"max_message_size": self.options.max_message_size} if limits else {"max_message_size": 1 << 30}
        return Connection(role, pieces=limits and self.options.pieces, **bounds)

    # The peer

    def peer_says(self):
        """Hand to the session what the peer has said."""
        self.bytes_come(self.peer.data_to_send())

    def peer_sends(self, *messages):
        for message in messages:
            self.peer.send(message)
        self.peer_says()

    def peer_reads(self, size=None):
        """Let the peer read what has left, or `size` bytes of it."""
        size = len(self.system) if size is None else size
        data, self.system = self.system[:size], self.system[size:]
        self.seen += self.peer.receive_data(data)

    # The pump

    def bytes_come(self, data):
        self.session.received(data, self.now)
        self.look()

    def eof_comes(self):
        self.session.received_eof(self.now)
        self.look()

    def write(self, size=None):
        """Let the system take bytes from the pump."""
        self.look()
        self._push(len(self.pump) if size is None else size)
        self.look()

    def sending_breaks(self):
        self.pump = b""
        self.session.cannot_send(self.now)
        self.look()

    def look(self):
        """What a pump does after every call."""
        session = self.session
        while data := session.output():
            self.pump += data
            self._push(0 if self.blocks else len(self.pump))
        if self.reads and self.system:
            self.peer_reads()
        if session.wants_acknowledged:
            self.times_asked += 1
            session.acknowledged(len(self.system) if self.knows_system else None, self.now)
            return self.look()
        woken = session.wakeups()
        self.woken |= woken
        if self.hook is not None and woken & Wakeup.RECEIVE:
            self._hand_over()
        if session.deadline == -inf:
            session.time_is(self.now)
            return self.look()
        return self.on_step()

    def _hand_over(self):
        session = self.session
        while session.phase < Phase.CLOSING and session.has_room_for_answer():
            if (message := session.receive()) is EMPTY:
                return
            self.hook(message)

    def _push(self, size):
        self.system += self.pump[:size]
        self.pump = self.pump[size:]
        self.session.sent(len(self.pump), self.now)

    # Time

    def wait(self, seconds):
        """Let so much time pass, and do what is due on time."""
        until = self.now + seconds
        while self.session.deadline <= until:
            self.now = max(self.now, self.session.deadline)
            self.session.time_is(self.now)
            self.look()
        self.now = until
        self.on_step()

    def received(self):
        """All messages that there are to receive."""
        messages = []
        while (message := self.session.receive()) is not EMPTY:
            messages.append(message)
        self.look()
        return messages

    def received_before_the_end(self):
        """All messages that there are to receive, though none follows."""
        count, _ = self.session.receive_queue
        return [self.session.receive() for _ in range(count)]
