"""Whose word about a client counts, and what a client may write in the hope that it does (RFC 7239)."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wscore.protocol.headers import Headers
from wscore.protocol.request import Client
from wscore.session.site.forwarded import TrustedProxies

PROXY = ("10.0.0.1", 40000)
PEER = Client(PROXY, "http")


def seen(
    *headers: tuple[str, str], peer: Client = PEER, trusted: str = "10.0.0.0/8", by: str = "x-forwarded"
) -> Client:
    return TrustedProxies([trusted], by).client_of(peer, Headers(headers))


def forwarded(*lines: str, **options: str) -> Client:
    return seen(*(("Forwarded", line) for line in lines), by="forwarded", **options)


def x(*lines: str, **options: str) -> Client:
    return seen(*(("X-Forwarded-For", line) for line in lines), **options)


# Who is trusted


@pytest.mark.parametrize(
    ("trusted", "address"),
    [
        ("10.0.0.0/8", ("10.255.0.1", 1)),
        ("10.0.0.1", ("10.0.0.1", 1)),
        ("10.0.0.0/8", ("::ffff:10.0.0.1", 1, 0, 0)),
        ("2001:db8::/32", ("2001:db8::1", 1, 0, 0)),
        ("fe80::/10", ("fe80::1%eth0", 1, 0, 2)),
        ("0.0.0.0/0", ("192.0.2.1", 1)),
        ("unix", ""),
        ("unix", "/run/proxy"),
        ("unix", b"\0proxy"),
    ],
)
def test_these_are_trusted(trusted: str, address: object) -> None:
    assert TrustedProxies([trusted]).trusts(address)
    assert not TrustedProxies().trusts(address)


@pytest.mark.parametrize(
    ("trusted", "address"),
    [
        ("10.0.0.0/8", ("11.0.0.1", 1)),
        ("10.0.0.0/8", ("::ffff:11.0.0.1", 1, 0, 0)),
        ("10.0.0.0/8", ("::10.0.0.1", 1, 0, 0)),
        ("10.0.0.0/8", ""),
        ("10.0.0.0/8", None),
        ("10.0.0.0/8", ("no address", 1)),
        ("0.0.0.0/0", ("2001:db8::1", 1, 0, 0)),
        ("unix", ("127.0.0.1", 1)),
        ("unix", None),
    ],
)
def test_these_are_not(trusted: str, address: object) -> None:
    assert not TrustedProxies([trusted]).trusts(address)


def test_networks_may_be_objects_and_a_single_one_text() -> None:
    proxies = TrustedProxies([ip_network("10.0.0.0/8"), ip_address("192.0.2.1"), "unix"])
    assert proxies
    assert all(map(proxies.trusts, [("10.1.1.1", 1), ("192.0.2.1", 1), ""]))
    assert TrustedProxies("10.0.0.0/8").trusts(PROXY)
    assert not TrustedProxies()


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "*", "localhost", "", "10.0.0.0/33", "Unix"])
def test_an_entry_that_is_no_network_is_misuse(entry: str) -> None:
    with pytest.raises(ValueError, match=r"trusted_proxies.*'unix'"):
        TrustedProxies([entry])


@pytest.mark.parametrize("entry", [167772160, b"\x0a\0\0\x01", None])
def test_an_entry_that_is_no_text_is_misuse(entry: object) -> None:
    with pytest.raises(TypeError, match="trusted_proxies"):
        TrustedProxies([entry])


def test_there_are_two_notations() -> None:
    with pytest.raises(ValueError, match='proxy_headers must be "x-forwarded" or "forwarded"'):
        TrustedProxies((), "both")


# Who is believed


@pytest.mark.parametrize("by", ["x-forwarded", "forwarded"])
@pytest.mark.parametrize("peer", [("192.0.2.66", 1), "", None])
def test_whoever_is_no_trusted_proxy_is_the_client_whatever_it_says(peer: object, by: str) -> None:
    stranger = Client(peer, "https")
    said = [
        ("X-Forwarded-For", "10.0.0.9"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "example.org"),
        ("Forwarded", "for=10.0.0.9;proto=http;host=example.org"),
    ]
    assert seen(*said, peer=stranger, by=by) is stranger


@pytest.mark.parametrize("by", ["x-forwarded", "forwarded"])
def test_a_proxy_that_says_nothing_is_the_client_itself(by: str) -> None:
    assert seen(by=by) == PEER


def test_only_the_notation_that_the_proxies_write_is_read() -> None:
    both = [("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Host", "a.example"), ("Forwarded", "for=192.0.2.2;host=b")]
    assert seen(*both) == Client(("192.0.2.1", 0), "http", "a.example")
    assert seen(*both, by="forwarded") == Client(("192.0.2.2", 0), "http", "b")


def test_the_last_address_that_is_no_trusted_proxy_is_the_client() -> None:
    assert x("192.0.2.1").address == ("192.0.2.1", 0)
    assert x("203.0.113.9, 192.0.2.1").address == ("192.0.2.1", 0)
    assert x("203.0.113.9, 192.0.2.1, 10.0.0.2, 10.0.0.3").address == ("192.0.2.1", 0)
    assert x("203.0.113.9", "192.0.2.1", "10.0.0.2").address == ("192.0.2.1", 0)
    assert forwarded("for=203.0.113.9, for=192.0.2.1, for=10.0.0.2").address == ("192.0.2.1", 0)
    assert forwarded("for=203.0.113.9", "for=192.0.2.1", "for=10.0.0.2").address == ("192.0.2.1", 0)


def test_a_client_within_the_trusted_networks_is_the_first_of_the_chain() -> None:
    assert x("10.0.0.77, 10.0.0.2").address == ("10.0.0.77", 0)
    assert forwarded("for=10.0.0.77, for=10.0.0.2").address == ("10.0.0.77", 0)


def test_a_proxy_on_a_unix_socket_is_believed_when_it_is_named() -> None:
    said, peer = Headers([("X-Forwarded-For", "192.0.2.1")]), Client("")
    assert TrustedProxies(["unix"]).client_of(peer, said).address == ("192.0.2.1", 0)
    assert TrustedProxies(["10.0.0.0/8"]).client_of(peer, said) is peer


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", ("192.0.2.1", 0)),
        ("192.0.2.1:47011", ("192.0.2.1", 47011)),
        ("[2001:DB8::17]:65535", ("2001:db8::17", 65535, 0, 0)),
        ("[2001:db8::17]", ("2001:db8::17", 0, 0, 0)),
        ("2001:db8::17", ("2001:db8::17", 0, 0, 0)),
        ("::ffff:192.0.2.1", ("192.0.2.1", 0)),
        ("[::ffff:192.0.2.1]:5", ("192.0.2.1", 5)),
    ],
)
def test_an_address_may_have_a_port_and_ipv6_may_lack_its_brackets(text: str, address: object) -> None:
    assert x(text).address == address
    assert forwarded(f'for="{text}"').address == address
    assert forwarded(f"for={text}").address == address


MALFORMED = [
    "unknown",
    "_hidden",
    "-",
    "localhost",
    "192.0.2",
    "192.0.2.256",
    "192.0.2.01",
    "192.0.2.1:",
    "192.0.2.1:65536",
    "192.0.2.1:x",
    "192.0.2.1/24",
    "[192.0.2.1]",
    "[2001:db8::1",
    "2001:db8::1]",
    "[2001:db8::1]x",
    "2001:db8:::1",
    "fe80::1%eth0",
    "192.0.2.1 192.0.2.2",
    "١٩٢.0.2.1".encode().decode("latin-1"),
    "\x00",
]


@pytest.mark.parametrize("text", MALFORMED)
def test_at_what_is_no_address_the_chain_ends_and_nothing_before_it_counts(text: str) -> None:
    assert x(f"203.0.113.9, {text}").address == PROXY
    assert x(f"203.0.113.9, {text}, 10.0.0.2").address == ("10.0.0.2", 0)
    assert x(f"203.0.113.9, {text}, 192.0.2.1").address == ("192.0.2.1", 0)
    assert forwarded(f"for=203.0.113.9, for={text}").address == PROXY
    assert forwarded(f'for=203.0.113.9, for="{text}", for=10.0.0.2').address == ("10.0.0.2", 0)
    assert forwarded(f'for=203.0.113.9, for="{text}", for=192.0.2.1').address == ("192.0.2.1", 0)


def test_empty_entries_are_passed_over() -> None:
    assert x("192.0.2.1,, ,10.0.0.2,").address == ("192.0.2.1", 0)
    assert forwarded("for=192.0.2.1,, ,for=10.0.0.2,").address == ("192.0.2.1", 0)


# Scheme and host


def test_scheme_and_host_are_those_that_the_client_used() -> None:
    said = [("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "example.org:8443")]
    client = Client(("192.0.2.1", 0), "https", "example.org:8443")
    assert seen(*said) == client
    assert forwarded('for=192.0.2.1; proto=https;host="example.org:8443"') == client
    assert forwarded("For=192.0.2.1;HOST=example.org:8443;Proto=HTTPS") == client


def test_each_hop_has_its_own_scheme_and_host() -> None:
    said = [
        ("X-Forwarded-For", "203.0.113.9, 192.0.2.1, 10.0.0.2"),
        ("X-Forwarded-Proto", "gopher, https, http"),
        ("X-Forwarded-Host", "forged.example, example.org, inner"),
    ]
    assert seen(*said) == Client(("192.0.2.1", 0), "https", "example.org")
    line = "for=203.0.113.9;host=forged.example, for=192.0.2.1;host=example.org;proto=https, for=10.0.0.2;host=inner"
    assert forwarded(line) == Client(("192.0.2.1", 0), "https", "example.org")


def test_what_the_last_proxy_has_overwritten_holds_for_all_hops() -> None:
    said = [
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "a.example"),
        ("X-Forwarded-For", "192.0.2.1,10.1.1.1"),
    ]
    assert seen(*said) == Client(("192.0.2.1", 0), "https", "a.example")
    assert seen(*said[:2]) == Client(PROXY, "https", "a.example")


@pytest.mark.parametrize(("scheme", "meant"), [("ws", "http"), ("wss", "https"), ("WSS", "https"), ("ftp", "http")])
def test_a_scheme_is_http_or_https(scheme: str, meant: str) -> None:
    assert seen(("X-Forwarded-Proto", scheme)).scheme == meant
    assert forwarded(f"for=192.0.2.1;proto={scheme}").scheme == meant


def test_without_a_word_the_scheme_is_that_of_the_connection() -> None:
    peer = Client(PROXY, "https")
    assert seen(("X-Forwarded-For", "192.0.2.1"), peer=peer).scheme == "https"
    assert seen(("Forwarded", "for=192.0.2.1"), peer=peer, by="forwarded").scheme == "https"


def test_a_proxy_that_hides_the_client_still_tells_scheme_and_host() -> None:
    assert forwarded("for=unknown;proto=https;host=example.org") == Client(PROXY, "https", "example.org")
    assert forwarded("proto=https;host=example.org") == Client(PROXY, "https", "example.org")


@pytest.mark.parametrize("host", ["", "a b", "a/b", "http://example.org", "user@example.org", "a:b", "[::1", "a:65536"])
def test_a_host_that_is_none_is_not_told(host: str) -> None:
    assert seen(("X-Forwarded-Host", host)).host is None
    assert forwarded(f'for=192.0.2.1;host="{host}"').host is None


# What a client may write


@pytest.mark.parametrize(
    "start",
    ['for="', 'for="x', 'for=x;host="', "for", "for=;", "for=1;for=2", ";;", 'x="\\', 'for="10.0.0.9", x="', "\xff=\0"],
)
def test_open_quotes_and_rubbish_in_front_hide_nothing_of_what_a_proxy_adds(start: str) -> None:
    for added in ("for=192.0.2.1", 'for="192.0.2.1:5";proto=https;host="example.org"', 'host="";for=192.0.2.1'):
        assert forwarded(f"{start}, {added}").address[0] == "192.0.2.1"
        assert forwarded(start, added).address[0] == "192.0.2.1"


@pytest.mark.parametrize(
    "element",
    [
        "for",
        "for=",
        "=x",
        "for=192.0.2.1;for=192.0.2.2",
        "for=192.0.2.1;For=192.0.2.1",
        "for =192.0.2.1",
        "for=192.0.2.1 proto=https",
        'for="192.0.2.1',
        'for=192.0.2.1"',
        'for="192.0.2.1"x',
        'for=192.0.2.1;host="a, for=203.0.113.9"',
    ],
)
def test_a_malformed_element_says_nothing_and_ends_the_chain(element: str) -> None:
    assert forwarded(f"for=198.51.100.1;proto=https, {element}") == PEER


LATIN_1 = st.binary(max_size=60).map(lambda raw: raw.decode("latin-1"))


@given(LATIN_1, st.sampled_from(["x-forwarded", "forwarded"]))
def test_whatever_a_client_writes_it_cannot_choose_its_address(forged: str, by: str) -> None:
    added = "192.0.2.1" if by == "x-forwarded" else "for=192.0.2.1"
    name = "X-Forwarded-For" if by == "x-forwarded" else "Forwarded"
    assert seen((name, f"{forged},{added}"), by=by).address == ("192.0.2.1", 0)
    assert seen((name, forged), (name, added), by=by).address == ("192.0.2.1", 0)


@given(
    st.lists(LATIN_1, max_size=4),
    st.sampled_from(["x-forwarded", "forwarded"]),
)
def test_whatever_a_proxy_writes_nothing_is_raised(lines: list[str], by: str) -> None:
    names = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded")
    client = seen(*((name, line) for name in names for line in lines), by=by)
    assert client.scheme in ("http", "https")
