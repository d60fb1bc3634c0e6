"""Listening sockets without Trio: bound here, or passed by a service manager."""

import os
import socket

import pytest

from wscore.server import sockets as sockets_module
from wscore.server.sockets import close_all, inherited_sockets, open_all, open_sockets

from ..listening import listens_on


def test_a_host_is_listened_on_at_a_port_that_the_system_chooses() -> None:
    [sock] = open_sockets("127.0.0.1", 0)
    with sock, socket.create_connection(sock.getsockname()) as client, sock.accept()[0]:
        assert client.getpeername() == sock.getsockname()
        assert not sock.get_inheritable()


def test_a_port_can_be_had_again_at_once() -> None:
    [first] = open_sockets("127.0.0.1", 0)
    place = first.getsockname()
    with first, socket.create_connection(place), first.accept()[0]:
        pass  # closed from here, and so for a while not forgotten by the system
    [second] = open_sockets(*place)
    second.close()


def test_a_port_that_is_taken_is_an_error_and_nothing_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(OSError, match="in use"):
        open_sockets("127.0.0.1", other.getsockname()[1])


def two_addresses(port: int) -> list[tuple[int, int, int, str, tuple[str, int]]]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.1", "127.0.0.2")]


needs_two_addresses = pytest.mark.skipif(not listens_on("127.0.0.2"), reason="there is one loopback address alone")


@needs_two_addresses
def test_a_port_that_the_system_chooses_is_the_same_on_all_addresses() -> None:
    sockets = open_all(two_addresses(0) * 2)
    (one, port), (two, other_port) = [sock.getsockname() for sock in sockets]
    assert (one, two) == ("127.0.0.1", "127.0.0.2")
    assert port == other_port
    close_all(sockets)


@needs_two_addresses
def test_another_port_is_chosen_where_one_is_taken_on_one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    bound, taken = sockets_module._bound, []

    def take_the_first(family: int, address: tuple[str, int]) -> socket.socket:
        sock = bound(family, address)
        if not taken:
            taken.append(socket.create_server(("127.0.0.2", sock.getsockname()[1])))
        return sock

    monkeypatch.setattr(sockets_module, "_bound", take_the_first)
    sockets = open_all(two_addresses(0))
    assert {sock.getsockname()[1] for sock in sockets} != {taken[0].getsockname()[1]}
    assert len({sock.getsockname()[1] for sock in sockets}) == 1
    close_all([*sockets, *taken])


@needs_two_addresses
def test_a_port_that_is_taken_on_one_address_is_an_error_and_nothing_stays_open() -> None:
    with socket.create_server(("127.0.0.2", 0)) as other:
        before = os.listdir("/dev/fd")
        with pytest.raises(OSError, match="in use"):
            open_all(two_addresses(other.getsockname()[1]))
        assert os.listdir("/dev/fd") == before


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6")
def test_ipv6_is_listened_on_alone() -> None:
    try:
        [sock] = open_sockets("::1", 0)
    except OSError:
        pytest.skip("there is no IPv6")
    with sock:
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def test_a_host_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(OSError):
        open_sockets("256.256.256.256", 0)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "none"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"},
    ],
)
def test_what_is_for_another_process_is_left_alone_and_its_children_do_not_hear_of_it(environ: dict[str, str]) -> None:
    environ["LISTEN_FDNAMES"] = "a"
    assert inherited_sockets(environ) == []
    assert environ == {}


def passed(monkeypatch: pytest.MonkeyPatch, descriptor: int, count: int = 1) -> dict[str, str]:
    """As if these descriptors were those that a service manager passes."""
    monkeypatch.setattr("wscore.server.sockets._FIRST_PASSED", descriptor)
    return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(count)}


def test_a_socket_without_a_name_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    original = socket.create_server(("127.0.0.1", 0))
    os.set_inheritable(original.fileno(), True)
    [(name, sock)] = inherited_sockets(passed(monkeypatch, original.detach()))
    with sock:
        assert name == "unknown"
        assert not sock.get_inheritable()
        assert sock.getsockname()[0] == "127.0.0.1"


def test_a_socket_that_does_not_listen_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        sock = socket.socket(socket.AF_INET, kind)
        descriptor = sock.detach()
        with pytest.raises(ValueError, match=f"^descriptor {descriptor} was passed, but is no socket that listens"):
            inherited_sockets(passed(monkeypatch, descriptor))


def test_a_descriptor_that_is_no_socket_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    with pytest.raises(ValueError, match=f"^descriptor {descriptor} was passed as a socket, but is none: "):
        inherited_sockets(passed(monkeypatch, descriptor))
    os.close(descriptor)


def test_a_descriptor_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^descriptor 9999 was passed as a socket, but is none: "):
        inherited_sockets(passed(monkeypatch, 9999))
