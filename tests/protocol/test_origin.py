"""Which pages may connect, and under which names a server on loopback answers (RFC 6455 section 10.2)."""

import pytest

from wscore.protocol.headers import Headers
from wscore.protocol.origin import Objection, SitePolicy, is_loopback
from wscore.protocol.request import Client, Request

LOOPBACK = [("127.0.0.1", 8000), ("::1", 8000, 0, 0)]
PLAIN, TLS = Client(("192.0.2.1", 1), "http"), Client(("192.0.2.1", 1), "https")


def request(host: str | None = None, *origins: str, upgrade: bool = True) -> Request:
    pairs = [("origin", origin) for origin in origins]
    if host is not None:
        pairs.append(("host", host))
    if upgrade:
        pairs.append(("upgrade", "websocket"))
    return Request("GET", "/", Headers(pairs))


def is_served(policy: SitePolicy, *arguments: str | None, **keywords: bool) -> bool:
    return policy.objection_to(request(*arguments, **keywords)) is None


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("example.org", "http://example.org"),
        ("example.org", "https://example.org"),
        ("example.org:80", "http://example.org"),
        ("example.org:443", "https://example.org"),
        ("example.org", "https://example.org:443"),
        ("example.org:8443", "https://example.org:8443"),
        ("EXAMPLE.org", "HTTP://Example.ORG"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("example.org", "ws://example.org"),
        ("example.org", "wss://example.org"),
        ("example.org:80", "ws://example.org"),
        ("example.org:443", "wss://example.org"),
        ("example.org:8443", "wss://example.org:8443"),
    ],
)
def test_pages_of_the_same_host_and_port_may_connect(host: str, origin: str) -> None:
    assert is_served(SitePolicy(), host, origin)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("example.org", "http://evil.example"),
        ("example.org", "http://example.org:8080"),
        ("example.org:8080", "http://example.org"),
        ("example.org:80", "https://example.org"),
        ("example.org:443", "http://example.org"),
        ("example.org", "http://example.org.evil.example"),
        ("example.org", "http://www.example.org"),
        ("example.org", "http://user@example.org"),
        ("example.org", "http://example.org/"),
        ("example.org", "ws://example.org/path"),
        ("example.org:80", "wss://example.org"),
        ("example.org", "ws://evil.example"),
        ("example.org", "http://example.org#"),
        ("example.org", "http://example.org:80:80"),
        ("example.org", "http://example.org:٨٠"),
        ("example.org", "ftp://example.org"),
        ("example.org", "chrome-extension://example.org"),
        ("example.org", "file://"),
        ("example.org", "://example.org"),
        ("example.org", "example.org"),
        ("example.org", "http://"),
        ("example.org", ""),
        ("example.org", "null"),
        ("example.org", "NULL"),
        ("example.org", "http://example.org, http://example.org"),
        ("example.org", "*"),
        ("null", "null"),
    ],
)
def test_case_58_pages_of_other_origins_may_not(host: str, origin: str) -> None:
    objection = SitePolicy().objection_to(request(host, origin))
    assert isinstance(objection, Objection)
    assert "allowed_origins" in objection.log


@pytest.mark.parametrize(
    ("client", "origin", "served"),
    [
        (TLS, "https://example.org", True),
        (TLS, "wss://example.org", True),
        (TLS, "http://example.org", False),
        (TLS, "ws://example.org", False),
        (TLS, "http://example.org:443", False),
        (PLAIN, "https://example.org", True),
        (PLAIN, "http://example.org", True),
        (None, "https://example.org", True),
        (None, "http://example.org", True),
    ],
)
def test_a_page_that_came_without_tls_is_another_than_one_over_tls(
    client: Client | None, origin: str, served: bool
) -> None:
    """Nobody has to know of TLS that ends in front of us."""
    for host in ("example.org", "example.org:443") if client is TLS else ("example.org",):
        asked = Request("GET", "/", request(host, origin).headers, client=client)
        assert (SitePolicy().objection_to(asked) is None) is served
    allowed = Request("GET", "/", request("example.org", origin).headers, client=client)
    assert (
        SitePolicy(["http://example.org", "http://example.org:443", "ws://example.org"]).objection_to(allowed) is None
    )


@pytest.mark.parametrize(
    ("target", "origin", "served"),
    [
        ("http://example.org/", "http://example.org", True),
        ("ws://example.org:80/", "https://example.org", True),
        ("wss://example.org:443", "https://example.org", True),
        ("ws://example.org:8080/x", "http://example.org:8080", True),
        ("http://example.org/", "http://inner", False),
        ("http://example.org:8080/", "http://example.org", False),
    ],
)
def test_an_absolute_target_is_judged_in_place_of_the_header_host(target: str, origin: str, served: bool) -> None:
    """RFC 9112 section 3.2.2."""
    asked = Request("GET", target, request("inner", origin).headers)
    assert (SitePolicy().objection_to(asked) is None) is served
    assert (SitePolicy(None, ["example.org"]).objection_to(asked) is None) is served
    assert SitePolicy(["*"], ["inner"]).objection_to(asked) is not None


def test_two_origins_are_none() -> None:
    assert not is_served(SitePolicy(), "example.org", "http://example.org", "http://example.org")


def test_what_sends_no_origin_is_no_browser_and_may_connect() -> None:
    assert is_served(SitePolicy(), "example.org")
    assert is_served(SitePolicy(["https://other.example"]), "example.org")


def test_forwarded_hosts_are_not_trusted() -> None:
    pairs = [("host", "inner"), ("origin", "https://example.org"), ("upgrade", "websocket")]
    for name in ("x-forwarded-host", "forwarded", "x-original-host"):
        forged = Headers([*pairs, (name, "host=example.org" if name == "forwarded" else "example.org")])
        assert SitePolicy().objection_to(Request("GET", "/", forged)) is not None


def test_the_host_that_a_trusted_proxy_tells_counts_for_the_origin_and_not_for_allowed_hosts() -> None:
    def by_proxy(host: str, origin: str, told: str | None) -> Request:
        return Request("GET", "/", request(host, origin).headers, client=Client(("10.0.0.1", 1), "http", told))

    policy = SitePolicy(None, ["inner"])
    assert policy.objection_to(by_proxy("inner", "https://example.org", "example.org")) is None
    assert policy.objection_to(by_proxy("inner", "https://example.org:8443", "example.org:8443")) is None
    assert policy.objection_to(by_proxy("inner", "https://inner", None)) is None
    assert "allowed_origins" in policy.objection_to(by_proxy("inner", "https://evil.example", "example.org")).log
    assert "allowed_origins" in policy.objection_to(by_proxy("inner", "https://inner", "example.org")).log
    assert "allowed_hosts" in policy.objection_to(by_proxy("evil.example", "https://inner", "inner")).log


def test_further_origins_may_be_allowed_beside_the_own_one() -> None:
    policy = SitePolicy(["https://App.example", "http://localhost:3000"])
    assert is_served(policy, "example.org", "https://app.example")
    assert is_served(policy, "example.org", "https://app.example:443")
    assert is_served(policy, "example.org", "http://localhost:3000")
    assert is_served(policy, "example.org", "http://example.org")
    assert not is_served(policy, "example.org", "http://app.example")
    assert not is_served(policy, "example.org", "http://localhost:3001")
    assert not is_served(policy, "example.org", "null")


def test_any_origin_and_null_are_allowed_only_by_name() -> None:
    assert is_served(SitePolicy(["*"]), "example.org", "null")
    assert is_served(SitePolicy(["*"]), "example.org", "rubbish")
    assert is_served(SitePolicy(["null"]), "example.org", "null")
    assert not is_served(SitePolicy(["null"]), "example.org", "http://null")


def test_the_origin_of_a_page_request_does_not_matter() -> None:
    assert is_served(SitePolicy(), "example.org", "http://evil.example", upgrade=False)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8000"])
def test_on_loopback_its_names_are_served_on_any_port(host: str) -> None:
    policy = SitePolicy()
    policy.bind(LOOPBACK)
    assert is_served(policy, host)
    assert is_served(policy, host, upgrade=False)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.2", "[::2]"])
@pytest.mark.parametrize("upgrade", [True, False])
def test_on_loopback_a_rebound_name_is_refused(host: str, upgrade: bool) -> None:
    policy = SitePolicy()
    policy.bind(LOOPBACK, "Dev.Example")
    objection = policy.objection_to(request(host, f"http://{host}", upgrade=upgrade))
    assert isinstance(objection, Objection)
    assert "allowed_hosts" in objection.log


@pytest.mark.parametrize(
    ("address", "name", "host"),
    [
        (("127.0.0.2", 8000), None, "127.0.0.2:8000"),
        (("127.0.1.1", 8000), "Dev.Example", "dev.example:8000"),
        (("127.0.1.1", 8000), "Dev.Example", "127.0.1.1"),
        (("::1", 8000, 0, 0), "::1", "[::1]:8000"),
        (("127.0.0.2", 8000), "127.0.0.2", "localhost:8000"),
    ],
)
def test_what_is_bound_to_loopback_serves_what_it_is_bound_to(address: object, name: str | None, host: str) -> None:
    policy = SitePolicy()
    policy.bind([address], name)
    assert is_served(policy, host, f"http://{host}")
    for other in ("evil.example", "127.0.0.3", "[::2]", "dev.example.evil.example"):
        assert not is_served(policy, other)


def test_on_loopback_a_request_without_host_comes_from_no_browser() -> None:
    policy = SitePolicy()
    policy.bind(LOOPBACK)
    assert is_served(policy, None, upgrade=False)
    assert not is_served(policy, None, "http://localhost")


def test_on_loopback_further_hosts_may_be_allowed() -> None:
    policy = SitePolicy(None, ["Example.org", "two.example:8443"])
    policy.bind(LOOPBACK)
    assert is_served(policy, "example.org:99")
    assert is_served(policy, "two.example:8443")
    assert is_served(policy, "localhost")
    assert not is_served(policy, "two.example")
    assert not is_served(policy, "evil.example")


def test_on_loopback_every_host_may_be_allowed() -> None:
    policy = SitePolicy(None, ["*"])
    policy.bind(LOOPBACK)
    assert is_served(policy, "evil.example")


@pytest.mark.parametrize("addresses", [[], ["/run/socket"], [("0.0.0.0", 80)], [("127.0.0.1", 80), ("192.0.2.1", 80)]])
def test_elsewhere_every_host_is_served_unless_some_are_named(addresses: list[object]) -> None:
    open_to_all, closed = SitePolicy(), SitePolicy(None, ["example.org"])
    open_to_all.bind(addresses)
    closed.bind(addresses)
    assert is_served(open_to_all, "any.example")
    assert is_served(closed, "example.org")
    assert not is_served(closed, "localhost")


def test_a_single_name_will_do() -> None:
    assert is_served(SitePolicy("https://app.example", "example.org"), "example.org", "https://app.example")


@pytest.mark.parametrize(
    "origin",
    [
        *(
            "file://",
            "file:///home/ada/page.html",
            "https://app.example/path",
            "https://app.example/",
            "null",
            "app://.",
        ),
        *("capacitor://localhost", "chrome-extension://abcdefghijklmnop", "http://[::1]:3000", "content://y/z?q"),
    ],
)
def test_whatever_a_client_sends_may_be_allowed_as_it_is(origin: str) -> None:
    policy = SitePolicy([origin])
    assert is_served(policy, "example.org", origin)
    assert not is_served(SitePolicy(["https://other.example"]), "example.org", origin)
    for other in (origin + "x", "x" + origin, "https://app.example", "FILE:///HOME/ada/page.html", "file:///", "NULL"):
        assert not is_served(policy, "example.org", other)


@pytest.mark.parametrize(
    ("pattern", "origins", "others"),
    [
        (
            "https://*.Example.org",
            ["https://a.example.org", "https://a.b.Example.org:443", "HTTPS://A.example.org"],
            [
                *("https://example.org", "http://a.example.org", "wss://a.example.org", "https://a.example.org:8443"),
                *("https://aexample.org", "https://.example.org", "https://a..example.org", "https://a.example.org.x"),
                *("https://a.example.org/", "https://example.org.example.com", "null", "a.example.org", "https://*"),
                "https://.a.example.org",
            ],
        ),
        (
            "http://localhost:*",
            ["http://localhost", "http://localhost:3000", "http://LOCALHOST:1"],
            [
                "https://localhost:3000",
                "http://a.localhost:3000",
                "http://localhost:3000/",
                "http://localhost:x",
                "null",
            ],
        ),
        (
            "https://*.example.org:*",
            ["https://a.example.org:8443", "https://a.example.org"],
            ["https://example.org:8443", "http://a.example.org:8443"],
        ),
        ("https://*.example.org:8443", ["https://a.example.org:8443"], ["https://a.example.org"]),
        ("http://[::1]:*", ["http://[::1]:3000"], ["http://[::2]:3000"]),
        ("app://*.x:*", ["app://a.x", "app://a.x:5"], ["app://x"]),
    ],
)
def test_patterns_allow_names_below_a_name_and_any_port(pattern: str, origins: list[str], others: list[str]) -> None:
    policy = SitePolicy(["https://else.example", pattern])
    assert [origin for origin in origins if not is_served(policy, "host.example", origin)] == []
    assert [origin for origin in others if is_served(policy, "host.example", origin)] == []


@pytest.mark.parametrize(
    "entry",
    [
        *("app.example", "https://", "https:///path", "", " ", "https://app .example", "http://\u2603.example", "://a"),
        *("https://*", "https://*:443", "https://*.", "https://a.*.example", "https://*a.example", "*://a.example"),
        *("https://*.*.example", "https://*.example/", "https://*.example:4*", "https://a.example:*/x", "**", "null*"),
        *("http://b\xfccher.example", "https://*.a b", "NULL", "wss://"),
    ],
)
def test_an_origin_that_is_none_is_misuse(entry: str) -> None:
    with pytest.raises(ValueError):
        SitePolicy([entry])


@pytest.mark.parametrize("entry", ["https://example.org", "example.org/", "*.example.org", "::1", ""])
def test_a_host_that_is_none_is_misuse(entry: str) -> None:
    with pytest.raises(ValueError):
        SitePolicy(None, [entry])


def test_case_61_what_the_peer_sent_reaches_the_log_harmless() -> None:
    policy = SitePolicy()
    objection = policy.objection_to(request("example.org", "http://x\x9b2J\u0085forged"))
    assert objection is not None
    assert "\x9b" not in objection.log
    assert "\u0085" not in objection.log
    assert "x\\x9b2J" in objection.log


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (("127.0.0.1", 1), True),
        (("127.9.9.9", 1), True),
        (("::1", 1, 0, 0), True),
        (("::ffff:127.0.0.1", 1, 0, 0), True),
        (("::ffff:192.0.2.1", 1, 0, 0), False),
        (("fe80::1%eth0", 1, 0, 2), False),
        (("::", 1, 0, 0), False),
        (("0.0.0.0", 1), False),
        ("/run/socket", False),
        (None, False),
    ],
)
def test_addresses_of_loopback_are_known(address: object, expected: bool) -> None:
    assert is_loopback(address) is expected
