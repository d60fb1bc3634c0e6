"""ws:// and wss:// URLs, and Host headers (RFC 6455 section 3)."""

import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wscore.protocol.uri import Uri, parse_uri, split_host_port


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("ws://example.org", Uri(False, "example.org", 80, "/")),
        ("wss://example.org", Uri(True, "example.org", 443, "/")),
        ("WSS://Example.ORG:8443/Feed?Room=1", Uri(True, "example.org", 8443, "/Feed?Room=1")),
        ("ws://example.org?room=1", Uri(False, "example.org", 80, "/?room=1")),
        ("ws://example.org:/", Uri(False, "example.org", 80, "/")),
        ("ws://[::1]:8000/x", Uri(False, "::1", 8000, "/x")),
        ("ws://[2001:DB8::1]", Uri(False, "2001:db8::1", 80, "/")),
        ("ws://127.0.0.1/a//b?c?d=/", Uri(False, "127.0.0.1", 80, "/a//b?c?d=/")),
        ("ws://bücher.example/ä?ß=%23", Uri(False, "xn--bcher-kva.example", 80, "/%C3%A4?%C3%9F=%23")),
        ("ws://bücher.example:81", Uri(False, "xn--bcher-kva.example", 81, "/")),
        ("ws://user:secret@example.org/", Uri(False, "example.org", 80, "/", "user", "secret")),
        ("ws://user@example.org/", Uri(False, "example.org", 80, "/", "user", "")),
        ("ws://us%40er:a%3Ab:c@example.org/@x", Uri(False, "example.org", 80, "/@x", "us@er", "a:b:c")),
        ("ws://example.org./", Uri(False, "example.org.", 80, "/")),
        ("ws://a_b/", Uri(False, "a_b", 80, "/")),
        (f"ws://{'x' * 63}.example/", Uri(False, "x" * 63 + ".example", 80, "/")),
    ],
)
def test_url_is_taken_apart(url: str, uri: Uri) -> None:
    assert parse_uri(url) == uri


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "http://example.org/",
        "ws:/example.org/",
        "ws://",
        "ws:///path",
        "ws://example.org/#fragment",
        "ws://example.org/a b",
        "ws://example.org/\r\nX: y",
        "ws://example.org/\x00",
        "ws://example.org/\x7f",
        "ws://example.org/\x85",
        " ws://example.org/",
        "ws://exam\tple.org/",
        "ws://example.org\\@evil.example/",  # browsers go to example.org
        "ws://user:pass\\word@example.org/",
        "ws://example.org\\.evil.example/",
        "ws://example.org:0/",
        "ws://example.org:65536/",
        "ws://example.org:123456789/",
        "ws://example.org:-1/",
        "ws://example.org:８０/",
        "ws://example.org:80:80/",
        "ws://[::1/",
        "ws://[::1]x/",
        "ws://[]/",
        "ws://[fe80::1%25]/",
        "ws://[fe80::1%]/",
        "ws://[fe80::1%a%b]/",
        "ws://[fe80::1%25eth0/",
        "ws://[fe80:::1%25eth0]/",
        "ws://[fe80::1%eth/0]/",
        "ws://[2001:db8::1%25eth0]/",
        "ws://127.0.0.1%25eth0/",
        "ws://[1:2:3]/",
        "ws://a..b/",
        "ws://.a/",
        "ws://./",
        "ws://a../",
        f"ws://{'x' * 64}.example/",
        f"ws://{'x.' * 127}xx/",
        "ws://\u2603.example/",
        "ws://h\uff1a80/",
        "ws://xn--\xe4.example/",
        "ws://\u202e.example/",
        "ws://exa%6Dple.org/",
        "ws://exam\\ple.org/",
        "ws://" + "ä" * 70 + ".example/",
        "ws://example.org/\ud800",
        "ws://us%3Aer:x@example.org/",
        "ws://%0d%0a@example.org/",
        "ws://user:%ff@example.org/",
        "ws://\ud800@example.org/",
    ],
)
def test_other_urls_are_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(ValueError, match=r"^[A-Z].*\.$") as refused:
        parse_uri(url)
    assert type(refused.value) is ValueError


@pytest.mark.parametrize(
    ("host", "ascii_host"),
    [
        ("stra\xdfe.de", "xn--strae-oqa.de"),
        ("fa\xdf.example", "xn--fa-hia.example"),
        ("STRA\u1e9eE.de", "xn--strae-oqa.de"),
        ("\u03b2\u03cc\u03bb\u03bf\u03c2.com", "xn--nxasmm1c.com"),
        ("ex\uff0eample", "ex.ample"),
        ("loc\xadalhost", "localhost"),
        ("B\xdcCHER.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("b\xfccher.example.", "xn--bcher-kva.example."),
    ],
)
def test_international_names_are_those_that_browsers_take_them_for(host: str, ascii_host: str) -> None:
    """UTS 46, not transitional; IDNA 2003 would make strasse.de of the first, another host."""
    assert parse_uri(f"ws://{host}:81/").host == ascii_host


def test_without_idna_international_names_are_refused_and_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "idna", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'wscore-websockets\[client\]'"):
        parse_uri("ws://b\xfccher.example/")
    assert parse_uri("ws://xn--bcher-kva.example/\xfc").host == "xn--bcher-kva.example"


@pytest.mark.parametrize("url", ["wss://[fe80::1%25eth0]:8443/x", "wss://[FE80::1%eth0]:8443/x"])
def test_zone_is_for_reaching_the_address_alone(url: str) -> None:
    uri = parse_uri(url)
    assert (uri.host, uri.port, uri.server_name, uri.host_header) == ("fe80::1%eth0", 8443, "fe80::1", "[fe80::1]:8443")


def test_zone_says_which_interface() -> None:
    index, name = socket.if_nameindex()[0]
    found = socket.getaddrinfo(parse_uri(f"ws://[fe80::1%25{name}]/").host, 80, flags=socket.AI_NUMERICHOST)
    assert {address[3] for *_, address in found} == {index}


def test_zone_keeps_its_letter_case() -> None:
    assert parse_uri("ws://[febf::1%25Eth0.1]").host == "febf::1%Eth0.1"


def test_dot_of_the_root_is_for_looking_up_the_name_alone() -> None:
    uri = parse_uri("wss://Example.org.:8443/")
    assert (uri.host, uri.server_name, uri.host_header) == ("example.org.", "example.org", "example.org:8443")
    assert parse_uri("wss://example.org/").server_name == "example.org"


@pytest.mark.parametrize(
    ("resource", "sent"),
    [
        ('/?q={"a":"<b>"}', "/?q=%7B%22a%22:%22%3Cb%3E%22%7D"),
        ("/a|b^c`d\\e", "/a%7Cb%5Ec%60d%5Ce"),
        ("/a[1]?b[]=2", "/a%5B1%5D?b%5B%5D=2"),
        ("/%zz%4%", "/%25zz%254%25"),
        ("/%7B%e4", "/%7B%e4"),
        ("/caf\xe9?q=\u20ac", "/caf%C3%A9?q=%E2%82%AC"),
        ("/-._~!$&'()*+,;=:@/?-._~!$&'()*+,;=:@/?", "/-._~!$&'()*+,;=:@/?-._~!$&'()*+,;=:@/?"),
    ],
)
def test_characters_that_no_target_has_are_percent_encoded(resource: str, sent: str) -> None:
    """RFC 3986 sections 3.3 and 3.4."""
    assert parse_uri(f"ws://h{resource}").resource == sent


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("ws://example.org:80/", "example.org"),
        ("ws://example.org:443/", "example.org:443"),
        ("wss://example.org:443/", "example.org"),
        ("wss://example.org:80/", "example.org:80"),
        ("ws://[::1]/", "[::1]"),
        ("ws://[::1]:81/", "[::1]:81"),
    ],
)
def test_host_header_names_the_port_only_where_it_is_not_the_default(url: str, header: str) -> None:
    assert parse_uri(url).host_header == header


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("localhost", ("localhost", None)),
        ("LOCALHOST:8000", ("localhost", 8000)),
        ("a_b.example:", ("a_b.example", None)),
        ("[::FFFF]:1", ("::ffff", 1)),
        ("example.org:0", ("example.org", 0)),
    ],
)
def test_host_header_is_taken_apart(text: str, parts: tuple[str, int | None]) -> None:
    assert split_host_port(text) == parts


@pytest.mark.parametrize("text", ["", ":80", "a b", "a,b", "a/b", "user@a", "[", "[]", "[::1]80", "a:b", "ä"])
def test_malformed_host_header_raises_nothing_but_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        split_host_port(text)


@given(st.text(alphabet=st.sampled_from("wsWS:/@[]%2.#?\\0159aä\ud800\x00 "), max_size=40))
def test_any_text_is_parsed_or_refused_with_value_error(text: str) -> None:
    for candidate in (text, "ws://" + text):
        try:
            uri = parse_uri(candidate)
        except ValueError:
            continue
        assert uri.resource.startswith("/")
        assert (uri.host_header + uri.resource).isascii()
        assert parse_uri(f"ws://h{uri.resource}").resource == uri.resource
        assert 0 < uri.port < 65536
