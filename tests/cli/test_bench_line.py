"""What `wscore bench` does with the bytes of one connection, and with replies that are none."""

import selectors
import socket
from functools import partial

import pytest

import wscore
from wscore.cli.bench.loads import Window
from wscore.cli.bench.payloads import Payloads
from wscore.cli.bench.tally import Tally
from wscore.codec import encode_frame

from .bench_peer import peers

ONE, SIXTEEN = (partial(Window, in_flight=count) for count in (1, 16))


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("size", [0, 1, 20, 125, 126, 70000])
def test_messages_have_the_size_and_the_type_that_were_asked_for(binary: bool, size: int) -> None:
    messages = Payloads(size, binary, 16).messages
    assert {type(message) for message in messages} == {bytes if binary else str}
    assert {len(message) for message in messages} == {size}
    assert messages == Payloads(size, binary, 16).messages
    assert len(set(messages)) == (61 if size >= 20 else len(set(messages[:61])))
    assert binary or all(message.isascii() for message in messages)


@pytest.mark.parametrize("longest", [1, 60, 61, 62, 1000])
def test_each_message_has_as_many_after_it_as_a_load_may_want(longest: int) -> None:
    payloads = Payloads(20, False, longest)
    assert all(len(payloads.messages[first : first + longest]) == longest for first in range(payloads.different))


def test_large_messages_are_few_for_the_sake_of_memory() -> None:
    assert [Payloads(size, True, 1).different for size in (1 << 18, 1 << 20, 1 << 23, 1 << 24)] == [61, 16, 2, 2]


def test_each_connection_begins_with_another_message() -> None:
    with peers(SIXTEEN, 2) as ([one, other], load, _, _):
        load.opened(one.line)
        load.opened(other.line)
        first, second = one.received(), other.received()
    assert len(first) == len(second) == 16
    assert first[1:] == second[:-1]
    assert first[0] != second[0]


def test_right_replies_are_counted_and_nothing_else() -> None:
    with peers(SIXTEEN) as ([peer], load, tally, _):
        load.opened(peer.line)
        for _ in range(10):
            peer.send(*peer.received())
        assert (peer.line.answered, peer.line.sent) == (160, 176)
        assert (tally.wrong, tally.unasked, tally.early_closes.total()) == (0, 0, 0)


@pytest.mark.parametrize(
    ("binary", "change", "description"),
    [
        (False, lambda text: "~" + text[1:], "of 20 bytes, byte 1 is the first that differs"),
        (True, lambda data: data[:-1] + bytes([data[-1] ^ 1]), "of 20 bytes, byte 20 is the first that differs"),
        (False, lambda text: text[:-1], "19 bytes came in place of 20"),
        (False, lambda text: text[:-1] + "ü", "21 bytes came in place of 20"),
        (False, lambda text: text.encode(), "binary came in place of text"),
        (True, lambda data: data.hex(), "text came in place of binary"),
    ],
)
def test_a_wrong_reply_is_counted_and_the_first_is_described(binary: bool, change: object, description: str) -> None:
    with peers(SIXTEEN, binary=binary) as ([peer], load, tally, _):
        load.opened(peer.line)
        replies = peer.received()
        replies[7] = change(replies[7])  # type: ignore[operator]
        replies[9] = type(replies[9])()
        peer.send(*replies)
        peer.send(*peer.received())
        assert (tally.wrong, tally.first_wrong) == (2, description)
        assert peer.line.answered == 32


def test_replies_in_another_order_are_wrong() -> None:
    with peers(SIXTEEN) as ([peer], load, tally, _):
        load.opened(peer.line)
        one, other, *rest = peer.received()
        peer.send(other, one, *rest)
        assert tally.wrong == 2


def test_unchecked_replies_are_only_counted() -> None:
    with peers(SIXTEEN, check=False) as ([peer], load, tally, _):
        load.opened(peer.line)
        assert len(peer.received()) == 16
        peer.send(*["no"] * 15)
        peer.send(b"no")
        assert (peer.line.answered, peer.line.sent, tally.wrong, tally.unasked) == (16, 32, 0, 0)


@pytest.mark.parametrize("check", [True, False])
def test_messages_that_answer_none_are_counted_by_themselves(check: bool) -> None:
    with peers(ONE, check=check) as ([peer], load, tally, _):
        load.opened(peer.line)
        [message] = peer.received()
        peer.send(message, "more", "and more")
        assert (peer.line.answered, tally.unasked, tally.wrong) == (1, 2, 0)


def test_pings_are_answered() -> None:
    with peers(ONE) as ([peer], load, tally, _):
        load.opened(peer.line)
        peer.received()
        peer.connection.ping(b"?")
        peer.push()
        assert peer.received() == [wscore.Pong(b"?")]
        assert (tally.wrong, tally.unasked) == (0, 0)


# Ends


def test_a_close_frame_after_replies_ends_the_connection_with_its_reason() -> None:
    with peers(SIXTEEN) as ([peer], load, tally, _):
        load.opened(peer.line)
        for message in peer.received()[:5]:
            peer.connection.send(message)
        peer.connection.close(4321, "enough")
        peer.push()
        assert not peer.line.is_open
        assert (peer.line.answered, peer.line.in_flight) == (5, 11)
        assert tally.early_closes == {(4321, "enough", "peer"): 1}
        assert peer.received()[-1] == wscore.Close(4321, "", "local")  # our answer


def test_an_end_without_a_close_frame_is_1006() -> None:
    with peers(ONE) as ([peer], load, tally, _):
        load.opened(peer.line)
        peer.socket.close()
        peer.turn()
        assert tally.early_closes == {(1006, "", "lost"): 1}


def test_a_broken_rule_is_an_end_of_ours() -> None:
    with peers(ONE) as ([peer], load, tally, _):
        load.opened(peer.line)
        peer.socket.sendall(encode_frame(1, b"masked", key=b"abcd"))
        peer.turn()
        [(code, _, origin)] = tally.early_closes
        assert (code, origin) == (1002, "local")


def test_a_close_frame_is_found_even_if_writing_fails_first() -> None:
    with peers(ONE) as ([peer], load, tally, _):
        peer.connection.close(1013, "full")
        peer.socket.sendall(peer.connection.data_to_send())
        peer.socket.close()
        load.opened(peer.line)  # writes to a socket that nobody reads any more
        assert peer.line.is_open
        peer.turn()
        assert tally.early_closes == {(1013, "full", "peer"): 1}


def test_our_own_close_is_no_early_one() -> None:
    ends = []
    with peers(ONE) as ([peer], load, tally, _):
        peer.shared.on_end = ends.append
        load.opened(peer.line)
        load.stop()
        peer.send(*peer.received())
        peer.line.close()
        assert peer.received() == [wscore.Close(1000, "", "peer")]
        assert peer.line.is_open
        peer.push()
        assert not peer.line.is_open
        assert ends == [peer.line]
        assert not tally.early_closes
        peer.line.close()
        peer.line.drop()
        assert ends == [peer.line]


def test_what_the_socket_does_not_take_goes_out_later_in_order() -> None:
    with peers(SIXTEEN, size=1 << 20, binary=True) as ([peer], load, _, _):
        load.opened(peer.line)
        assert peer.line.is_blocked
        received = []
        while len(received) < 16:
            received += peer.received()
            peer.turn()
        assert received == peer.line._messages[:16]
        assert not peer.line.is_blocked
        [(_, waits_for)] = [(key, key.events) for key in peer.shared.selector.get_map().values()]
        assert waits_for == selectors.EVENT_READ


@pytest.mark.parametrize(("count", "kinds"), [(50, 50), (51, 51), (60, 51)])
def test_of_a_servers_reasons_only_so_many_are_kept(count: int, kinds: int) -> None:
    tally = Tally()
    for number in range(count):
        tally.count_early_close(wscore.Close(4000, f"reason {number}", "peer"))
        tally.count_failure(f"reason {number}")
    assert len(tally.early_closes) == len(tally.failures) == kinds
    assert tally.early_closes.total() == tally.failures.total() == count
    assert tally.early_closes[4000, "(other reasons)", "peer"] == count - 50
    tally.count_failure("reason 0")
    assert tally.failures["reason 0"] == 2


def test_a_socket_is_closed_when_its_line_has_ended() -> None:
    with peers(ONE) as ([peer], _, _, _):
        peer.line.drop()
        assert peer.socket.recv(1) == b""
        with pytest.raises(OSError, match="Bad file descriptor"):
            socket.socket.getpeername(peer.line._socket)
