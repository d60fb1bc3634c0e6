"""`Session` against a plain model, driven by Hypothesis: bytes, ends, calls, acknowledgements and time in any order.

What must hold: exactly one end; no message is lost or doubled before it; deadlines are never late nor early; the
account is what is held. A trace that fails is printed by Hypothesis as a program.
"""

from math import inf

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from wscore.codec import CLIENT, SERVER, weight
from wscore.protocol.connection import State
from wscore.session import EMPTY, Cause, ConnectionEnded, Phase

from .peer import Wire

PING_INTERVAL, PING_TIMEOUT, CLOSE_TIMEOUT, SEND_TIMEOUT = 20.0, 7.0, 10.0, 30.0
QUEUE, BUFFER = 1000, 2000
EPSILON = 1e-6

MESSAGES = st.one_of(st.text(max_size=30), st.binary(max_size=400))


def payload(message):
    return message.encode() if isinstance(message, str) else message


class Since:
    """Since when something has not been the case; told at every step, between which nothing changes."""

    def __init__(self, now):
        self.at = now
        self._was = False

    def note(self, now, is_so):
        if is_so or self._was:
            self.at = now
        self._was = is_so


ENDS = ("close", "rule", "eof", "break", "sending", "closes", "forgets", "fails", "aborts")


def possible(end):
    """For a rule that ends the connection: only a few of them are possible in one life, or all would be short."""
    return precondition(lambda self: end in self.ends and not self.is_over)


class Life(RuleBasedStateMachine):
    role = SERVER
    has_hook = False

    def __init__(self):
        super().__init__()
        self.wire = Wire(
            role=self.role,
            hook=self.answer if self.has_hook else None,
            ping_interval=PING_INTERVAL,
            ping_timeout=PING_TIMEOUT,
            close_timeout=CLOSE_TIMEOUT,
            send_timeout=SEND_TIMEOUT,
            max_receive_queue=QUEUE,
            max_send_buffer=BUFFER,
        )
        self.session = self.wire.session
        self.sent = []  # what the peer has sent, in order
        self.got = 0  # how many of them were received
        self.said = []  # what we have sent
        self.end = None
        self.peer_closed = False
        self.we_ended = False
        self.eof_at = inf
        self.asked = True  # since a message came last, somebody has asked for one and there was none
        self.came = 0
        self.pending = b""  # what the peer has said, and has not come
        now = self.wire.now
        self.opened_at = now
        self.heard_at = now
        self.paused, self.unsent, self.unread, self.without_room = Since(now), Since(now), Since(now), Since(now)
        self.moved_at = now  # when bytes left the pump last, or began to wait in it
        self.in_pump = self.in_system = 0
        self.acknowledged_at = now  # when the peer read last, or something was there for it to read
        self.phase_at = now
        self.phase = Phase.OPEN
        self.all_left_at = None  # when all had left first, since this phase began
        self.wire.on_step = self.step
        self.ends = frozenset()

    @initialize(ends=st.frozensets(st.sampled_from(ENDS), max_size=2))
    def choose_ends(self, ends):
        self.ends = ends

    # The peer

    @precondition(lambda self: self.peer_is_open)
    @rule(messages=st.lists(MESSAGES, min_size=1, max_size=12))
    def peer_sends(self, messages):
        for message in messages:
            self.wire.peer.send(message)
            self.sent.append(message)
        self.pending += self.wire.peer.data_to_send()

    @precondition(lambda self: self.peer_is_open)
    @rule(payload=st.binary(max_size=5))
    def peer_pings(self, payload):
        self.wire.peer.ping(payload)
        self.pending += self.wire.peer.data_to_send()

    @possible("close")
    @precondition(lambda self: self.peer_is_open)
    @rule(code=st.sampled_from([1000, 1001, 4000]))
    def peer_closes(self, code):
        self.pending += self.wire.peer.data_to_send()
        self.wire.peer.close(code, "done")
        self.pending += self.wire.peer.data_to_send()
        self.peer_closed = True

    @possible("rule")
    @precondition(lambda self: self.peer_is_open)
    @rule()
    def peer_breaks_a_rule(self):
        self.pending += self.wire.peer.data_to_send() + b"\xff" * 8
        self.peer_closed = True

    @rule(size=st.integers(1, 600))
    def bytes_come(self, size):
        self.pending += self.wire.peer.data_to_send()
        data, self.pending = self.pending[:size], self.pending[size:]
        if data and not self.is_over:
            self.heard_at = self.wire.now
            self.wire.bytes_come(data)

    @possible("eof")
    @precondition(lambda self: not self.is_over and not self.pending)
    @rule()
    def eof_comes(self):
        self.peer_closed = True
        self.eof_at = self.wire.now
        self.wire.eof_comes()

    @rule(reads=st.booleans())
    def peer_reads_or_not(self, reads):
        self.wire.reads = reads
        if not self.is_over:
            self.wire.look()

    # The pump

    @rule(blocks=st.booleans())
    def writing_blocks_or_not(self, blocks):
        self.wire.blocks = blocks

    @precondition(lambda self: not self.is_over)
    @rule(size=st.integers(0, 3000))
    def pump_writes(self, size):
        self.wire.write(size)

    @possible("sending")
    @rule()
    def writing_breaks(self):
        self.we_ended = True
        self.wire.sending_breaks()

    @possible("break")
    @rule()
    def all_breaks(self):
        self.session.broken(self.wire.now)
        self.we_ended = True
        self.wire.look()

    # The user

    def answer(self, message):
        """The hook: there is room for an answer, always."""
        assert message == self.sent[self.got]
        self.got += 1
        if self.session.phase is Phase.OPEN:
            assert self.session.send(message)
            self.said.append(message)

    @precondition(lambda self: not self.has_hook)
    @rule()
    def user_receives(self):
        try:
            message = self.session.receive()
        except ConnectionEnded as error:
            self.check_error(error)
        else:
            if message is EMPTY:
                self.asked = True
            else:
                assert message == self.sent[self.got]
                self.got += 1
        self.wire.look()

    @rule(message=MESSAGES, count=st.integers(1, 8))
    def user_sends(self, message, count):
        for _ in range(count):
            unsent = self.session.unsent
            try:
                if self.session.send(message):
                    self.said.append(message)
                else:
                    assert unsent
            except ConnectionEnded:
                assert self.session.phase is not Phase.OPEN
                return
        self.wire.look()

    @possible("closes")
    @rule(code=st.sampled_from([1000, 3001]))
    def user_closes(self, code):
        self.we_ended |= self.session.close(code, "ours")
        self.wire.look()

    @possible("forgets")
    @rule()
    def user_forgets(self):
        self.session.close()
        self.session.forget()
        self.we_ended = True
        self.got = len(self.sent)
        self.wire.look()

    @possible("fails")
    @rule()
    def user_fails(self):
        self.session.fail(1011, "oops")
        self.we_ended = True
        self.wire.look()

    @possible("aborts")
    @rule()
    def user_aborts(self):
        self.session.abort()
        self.we_ended = True
        self.got = len(self.sent)
        self.wire.look()

    # Time

    @rule(seconds=st.sampled_from([0.1, 3.0, 8.0, 21.0, 35.0]))
    def time_passes(self, seconds):
        self.wire.wait(seconds)

    def step(self):
        """Keep the model's own times."""
        now, session = self.wire.now, self.session
        self.paused.note(now, not session.wants_read)
        self.unsent.note(now, session.unsent > 0)
        self.unread.note(now, len(self.wire.system) > 0)
        waiting = session.receive_queue[0]
        if session.messages_received > self.came:
            self.came, self.asked = session.messages_received, self.has_hook and not waiting
        self.without_room.note(now, self.eof_at <= now and self.got + waiting < len(self.sent))
        if len(self.wire.pump) < self.in_pump or not self.in_pump:
            self.moved_at = now
        if len(self.wire.system) < self.in_system or not self.in_system:
            self.acknowledged_at = now
        self.in_pump, self.in_system = len(self.wire.pump), len(self.wire.system)
        if session.phase is not self.phase:
            self.check_change(self.phase, session.phase)
            self.phase, self.phase_at, self.all_left_at = session.phase, now, None
        if self.all_left_at is None and not session.unsent:
            self.all_left_at = now
        self.check_lateness()

    def check_change(self, before, after):
        """No deadline is early."""
        end, now = self.session.end, self.wire.now
        if end is None or before is Phase.DRAINING:
            return
        if end.cause is Cause.SILENT:
            assert now - max(self.heard_at, self.paused.at) >= PING_TIMEOUT - EPSILON
            assert end.seconds >= PING_TIMEOUT - EPSILON
        elif end.cause is Cause.UNCLOSED:
            # What is sent behind our Close frame, a Pong say, gives the peer no more time.
            assert now - (self.all_left_at or self.phase_at) >= CLOSE_TIMEOUT - EPSILON
        elif end.cause is Cause.STUCK:
            assert now - self.moved_at >= min(SEND_TIMEOUT, CLOSE_TIMEOUT) - EPSILON
        elif end.cause is Cause.EOF and before is Phase.OPEN and not self.we_ended:
            assert self.asked or now - self.patient_since >= CLOSE_TIMEOUT / 2 - EPSILON

    def check_lateness(self):
        """No deadline is late: what nothing excuses has ended by now."""
        now, phase = self.wire.now, self.session.phase
        if phase is not Phase.CLOSED and self.wire.pump:
            assert now - self.moved_at < SEND_TIMEOUT + EPSILON
            if phase >= Phase.CLOSING:
                assert now - max(self.moved_at, self.phase_at) < CLOSE_TIMEOUT + EPSILON
        if phase is Phase.OPEN and self.eof_at <= now:
            assert now - self.patient_since < CLOSE_TIMEOUT / 2 + EPSILON
        quiet = max(self.unsent.at, self.acknowledged_at)
        if phase is Phase.OPEN:
            assert now - max(quiet, self.heard_at, self.paused.at) < PING_INTERVAL + 2 * PING_TIMEOUT + EPSILON
        elif phase is Phase.CLOSING or phase is Phase.DRAINING:
            assert now - max(quiet, self.phase_at) < 2 * CLOSE_TIMEOUT + EPSILON

    @property
    def patient_since(self):
        """Since when nothing was left to come but the end of the bytes."""
        return max(self.eof_at, self.without_room.at)

    # What must hold

    @property
    def peer_is_open(self):
        return not self.peer_closed and self.wire.peer.state is State.OPEN

    @property
    def is_over(self):
        return self.session.phase is Phase.CLOSED

    def check_error(self, error):
        assert self.session.end is not None or self.we_ended
        assert isinstance(error, ConnectionEnded)
        if self.session.end is not None and self.session.end.cause in (Cause.CLOSE, Cause.EOF) and not self.we_ended:
            # All that the peer sent before its end was received.
            assert self.got == len(self.sent)

    @invariant()
    def there_is_one_end(self):
        end = self.session.end
        if self.end is not None:
            assert end is self.end
        self.end = end
        if self.is_over:
            assert end is not None
            assert self.session.deadline == inf
            assert not self.session.wants_read

    @invariant()
    def what_is_held_is_accounted(self):
        count, size = self.session.receive_queue
        weights = [weight(len(payload(message))) for message in self.sent[self.got : self.got + count]]
        assert size == sum(weights)
        # One message always fits; no other may be there besides once it is too much.
        limit = BUFFER if self.has_hook else QUEUE
        assert size < limit or sum(weights[:-1]) < limit
        assert self.session.held == size + self.session._receiving.bytes_kept + self.session.unsent

    @precondition(lambda self: self.has_hook and self.session.phase < Phase.CLOSING)
    @invariant()
    def what_waits_for_the_hook_waits_for_room(self):
        if self.session.receive_queue[0]:
            assert not self.session.has_room_for_answer()
            assert not self.session.wants_read

    @invariant()
    def deadlines_are_kept(self):
        assert self.session.deadline > self.wire.now or self.is_over

    @invariant()
    def what_leaves_is_what_was_sent(self):
        messages = [event for event in self.wire.seen if isinstance(event, str | bytes)]
        assert messages == self.said[: len(messages)]


class LifeOfAClient(Life):
    role = CLIENT


class LifeWithAHook(Life):
    has_hook = True


TestLife = Life.TestCase
TestLifeOfAClient = LifeOfAClient.TestCase
TestLifeWithAHook = LifeWithAHook.TestCase
for test in (TestLife, TestLifeOfAClient, TestLifeWithAHook):
    test.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
