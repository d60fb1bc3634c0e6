"""Security cases 46 to 64: the handshake, what it negotiates, and who may speak to whom. The table of all cases stands
in test_security_cases.py, and there is what became of those that are not here.

Each test is named after the weakness of another library that it keeps out of this one.
"""

import base64
import gc
import os
import random
import subprocess
import sys

import pytest
import trio

import wscore
from wscore.codec import CLIENT, SERVER, LocalProtocolError
from wscore.protocol.extensions import DeflateParameters
from wscore.protocol.request import accept_key
from wscore.server.auth import basic_auth, bearer_auth

from ..raw import UPGRADE, dial, serving, status_of, url_of
from ..wire import CLOSE, TEXT, Frame, close_payload, encode
from .bombs import RSV1, compress
from .opened import opened

pytestmark = pytest.mark.usefixtures("each_transport")

LINE_ENDS = ["\r\n", "\n", "\r", "\x00"]
# Names that every object of some language has.
INHERITED_NAMES = ["constructor", "__proto__", "toString", "__class__", "__init__", "hasOwnProperty"]


def request(**changes):
    """A request for a WebSocket; None leaves a header out."""
    headers = UPGRADE | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join(["GET / HTTP/1.1", *lines, "", ""]).encode("latin-1")


def answer_to(data, **options):
    """The head that a server answers, and its handshake; every WebSocket is accepted."""
    handshake = wscore.Handshake(SERVER, **options)
    if isinstance(handshake.receive_data(data), wscore.Request):
        handshake.answer(wscore.Accept())
    return handshake.data_to_send(), handshake


def client_and_answer(extensions=None, **options):
    """A client's handshake, and the answer of a server that accepts these extensions."""
    handshake = wscore.Handshake(CLIENT, "ws://localhost/", **options)
    key = handshake.data_to_send().partition(b"Sec-WebSocket-Key: ")[2][:24].decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines.append(f"Sec-WebSocket-Accept: {accept_key(key)}")
    if extensions is not None:
        lines.append(f"Sec-WebSocket-Extensions: {extensions}")
    return handshake, "\r\n".join([*lines, "", ""]).encode("latin-1")


async def still_echoes(server):
    async with wscore.connect(url_of(server)) as ws:
        await ws.send("still there")
        assert await ws.receive() == "still there"


def test_case_46_cve_2026_59881_nothing_is_inflated_that_was_not_agreed_on(protocol):
    """aiohttp: a client inflated whatever had RSV1, even if it had not offered compression or was declined."""
    data = encode(Frame(TEXT, compress(b"Hello"), rsv=RSV1))
    for policy in (None, "takeover", "shared", "dedicated"):
        handshake, answer = client_and_answer(compression=policy)
        handshake.receive_data(answer)
        connection = protocol.Connection(CLIENT, compression=policy, deflate=handshake.deflate)
        [close] = connection.receive_data(data)
        assert (close.code, close.origin) == (1002, "local")


@pytest.mark.parametrize("key", ["bad", UPGRADE["Sec-WebSocket-Key"]])
async def test_case_47_cve_2026_69243_the_body_of_a_refused_upgrade_is_no_request(key):
    """aiohttp: what followed a refused upgrade was read as the next request (request smuggling)."""
    hidden = request(Host="localhost", X_Hidden="yes")
    seen = []

    def on_request(received):
        seen.append(received)
        return wscore.Refuse(403, "No.")

    async with serving(on_request=on_request) as server:
        for changes in ({"Content_Length": str(len(hidden))}, {"Transfer_Encoding": "chunked"}, {}):
            async with dial(server) as raw:
                await raw.ask(rest=hidden, Sec_WebSocket_Key=key, **changes)
                response = await raw.rest()
                assert response.count(b"HTTP/1.1 ") == 1
                assert status_of(response) in (400, 403, 413)
    assert not any("x-hidden" in received.headers for received in seen)


@pytest.mark.parametrize("value", ["notupgrade", "upgraded", "keep-alive, notupgrade", "up grade", "keep-alive", ""])
def test_case_48_aiohttp_12723_connection_is_a_list_of_tokens(value):
    """aiohttp: "upgrade" was looked for as a part of the text."""
    response, _ = answer_to(request(Connection=value))
    assert status_of(response) == 400


@pytest.mark.parametrize("value", ["keep-alive, Upgrade", "Upgrade,keep-alive", "UPGRADE", " , keep-alive ,upgrade,"])
def test_case_49_picows_115_connection_may_have_other_tokens_and_any_case(value):
    """picows: a proxy's "keep-alive, Upgrade" was refused; the same for the case of letters."""
    response, _ = answer_to(request(Connection=value, Upgrade="WebSocket"))
    assert status_of(response) == 101


async def test_case_50_cve_2024_37890_many_headers_before_upgrade_crash_nothing():
    """ws: beyond the limit of headers, Upgrade was missing from them, and that crashed the server."""
    async with serving() as server:
        for count in (120, 200, 2000):
            async with dial(server) as raw:
                many = "".join(f"X-{i}: 1\r\n" for i in range(count)).encode()
                await raw.send(request().replace(b"Upgrade: websocket\r\n", many + b"Upgrade: websocket\r\n"))
                assert status_of(await raw.head()) == (101 if count == 120 else 431)
        await still_echoes(server)


@pytest.mark.parametrize("name", INHERITED_NAMES)
@pytest.mark.parametrize("header", ["Sec_WebSocket_Extensions", "Sec_WebSocket_Protocol"])
def test_case_51_ghsa_5v72_xg48_5rpm_names_are_not_looked_up_in_objects(header, name):
    """ws: an extension called "constructor" was found in the prototype of a table, and crashed."""
    for value in (name, f"{name}; {name}", f"permessage-deflate; {name}"):
        response, handshake = answer_to(request(**{header: value}), compression="takeover", subprotocols=["chat"])
        assert status_of(response) == (400 if ";" in value and header.endswith("Protocol") else 101)
        assert handshake.deflate is handshake.subprotocol is None
    handshake, answer = client_and_answer(name, compression="takeover")
    with pytest.raises(wscore.HandshakeError):
        handshake.receive_data(answer)


@pytest.mark.parametrize("bits", ["16", "7", "0", "-1", "255", "4294967305", "9" * 500, "", "09", "1e1", "x", '"16"'])
@pytest.mark.parametrize("parameter", ["server_max_window_bits", "client_max_window_bits"])
def test_case_52_cve_2026_2229_windows_out_of_range_are_refused(parameter, bits):
    """undici: a window that a server had chosen out of range was given to zlib, whose error nobody caught."""
    handshake, answer = client_and_answer(f"permessage-deflate; {parameter}={bits}", compression="takeover")
    with pytest.raises(wscore.HandshakeError):
        handshake.receive_data(answer)
    response, handshake = answer_to(
        request(Sec_WebSocket_Extensions=f"permessage-deflate; {parameter}={bits}"), compression="takeover"
    )
    assert status_of(response) == 101
    assert handshake.deflate is None


def test_case_53_zlib_171_a_window_of_256_bytes_is_not_agreed_on_where_we_compress(protocol):
    """zlib cannot compress raw streams with a window of 8 bits, and used 9: the other end could not follow."""
    offers = "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=9"
    _, handshake = answer_to(request(Sec_WebSocket_Extensions=offers), compression="dedicated")
    assert handshake.deflate == DeflateParameters(server_max_window_bits=9)
    handshake, answer = client_and_answer("permessage-deflate; client_max_window_bits=8", compression="dedicated")
    with pytest.raises(wscore.HandshakeError):
        handshake.receive_data(answer)
    with pytest.raises(ValueError, match="window_bits"):
        protocol.codec.Deflater(8)


@pytest.mark.parametrize("end", LINE_ENDS)
def test_case_54_cve_2026_1527_no_line_ends_in_what_a_client_sends(end):
    """undici: CR LF in the value of a header of the request began a line of its own."""
    bad = f"a{end}X-Injected: yes"
    for headers in ({"X": bad}, {bad: "x"}):
        with pytest.raises(LocalProtocolError):
            wscore.Handshake(CLIENT, "ws://localhost/", headers=headers)
    for arguments in ((f"ws://localhost/{bad}", ()), (f"ws://{bad}/", ()), ("ws://localhost/", [bad])):
        with pytest.raises(ValueError):
            wscore.Handshake(CLIENT, arguments[0], subprotocols=arguments[1])


@pytest.mark.parametrize("end", LINE_ENDS)
def test_case_55_cve_2020_35678_no_line_ends_in_what_a_server_sends(end):
    """autobahn: a redirect with an address of the client's choice began lines of its own."""
    bad = f"http://localhost/{end}Set-Cookie: injected=yes"
    for headers in ({"Location": bad}, {f"X{end}Y": "x"}):
        with pytest.raises(LocalProtocolError):
            wscore.Refuse(302, "Elsewhere.", headers)
        with pytest.raises(LocalProtocolError):
            wscore.Accept(headers=headers)


async def test_case_56_websockets_16_1_redirects_are_not_followed():
    """websockets: Authorization and Cookie went with a redirect to another origin, and wss to ws."""
    seen = []
    async with serving(on_request=seen.append) as other:

        def redirect(_request):
            return wscore.Refuse(302, "Elsewhere.", {"Location": url_of(other)})

        async with serving(on_request=redirect) as server:
            with pytest.raises(wscore.HandshakeError) as refused:
                async with wscore.connect(url_of(server), headers={"Authorization": "secret", "Cookie": "secret"}):
                    pass
    assert refused.value.response is not None
    assert refused.value.response.status == 302
    assert seen == []


def steps_of(hook, authorization):
    """What is called while a hook looks at a header, up to where a guess is compared with what is known."""
    calls = []

    def note(frame, event, argument):
        if event in ("call", "c_call"):
            calls.append(argument.__qualname__ if event == "c_call" else frame.f_code.co_name)

    asking = wscore.Request("GET", "/", wscore.Headers({"authorization": authorization}))
    # Filling the caches of abstract classes, and collecting garbage, are no steps of the hook's.
    hook(asking)
    gc.disable()
    sys.setprofile(note)
    try:
        hook(asking)
    finally:
        sys.setprofile(None)
        gc.enable()
    compares = [index for index, name in enumerate(calls) if name in ("compare_digest", "dict.get")]
    return calls[: compares[-1] + 1]


def basic(name, password):
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


async def test_case_57_cve_2021_33880_a_guess_takes_the_same_steps_however_right_it_is():
    """websockets: passwords were compared until the first difference, so that time told how much of a guess was right.

    Here digests are compared, under a key that is made anew for each hook, and so different for equal passwords.
    """
    passwords = basic_auth({"ada": "s3cret-password", "eve": "s3cret-password"})
    words = ("s3cret-password", "s3cret-passworX", "X3cret-password")
    guesses = [*(("ada", word) for word in words), ("bob", words[0])]
    steps = [steps_of(passwords, basic(*guess)) for guess in guesses]
    assert steps[0][-1] == "compare_digest"
    assert all(each == steps[0] for each in steps)

    tokens = bearer_auth({"s3cret-token": "ada"})
    steps = [steps_of(tokens, f"Bearer {guess}") for guess in ("s3cret-token", "s3cret-tokeX", "X3cret-token")]
    assert steps[0].index("blake2b.digest") < steps[0].index("dict.get", steps[0].index("blake2b.digest"))
    assert all(each == steps[0] for each in steps)

    async with serving(authorize=passwords) as server:
        for guess, status in zip(guesses, (101, 401, 401, 401), strict=True):
            async with dial(server) as raw:
                await raw.ask(Authorization=basic(*guess))
                assert status_of(await raw.head()) == status


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost.evil.example", "file://", "x"])
async def test_case_58_cve_2019_13611_pages_of_other_origins_are_refused(origin):
    """python-engineio: the Origin was not checked, so that any page could use a visitor's connection."""
    async with serving() as server, dial(server) as raw:
        await raw.ask(Origin=origin)
        assert status_of(await raw.rest()) == 403
    async with serving() as server, dial(server) as raw:
        await raw.upgrade(Origin="http://localhost")


@pytest.mark.parametrize(
    "version",
    ["4294967309", "18446744073709551629", "13" * 1000, "013", "13.0", "+13", "-243", "0xd", "1 3", "13,13", ""],
)
def test_case_59_cve_2026_97152_versions_are_not_numbers(version):
    """nanomsg: a version was read as a number, without a limit. 2 to the power of 32 and 13 is not 13."""
    response, _ = answer_to(request(Sec_WebSocket_Version=version))
    assert status_of(response) == 426
    assert b"\r\nSec-WebSocket-Version: 13\r\n" in response


@pytest.mark.parametrize(
    "host",
    ["", ":", "[", "[::1", "a:b", "a:99999", "a b", "[::1]x", "\xff", "a/b", "user@a", "a,b", "%00", "a:" + "9" * 5000],
)
async def test_case_60_cve_2026_61666_a_malformed_host_crashes_nothing(host):
    """websocket-driver: Host was put into a URL, and what parsed it raised."""
    async with serving(allowed_hosts=["*"], allowed_origins=["http://localhost"]) as server:
        async with dial(server) as raw:
            await raw.send(request(Host=host, Origin="http://localhost"))
            assert status_of(await raw.rest()) == 400
        await still_echoes(server)


async def test_case_61_websockets_16_1_the_peers_control_characters_reach_no_terminal():
    """websockets: what a peer sent went to the terminal as it was, and could set its title or worse."""

    async def hostile(ws):
        for character in ("\x1b]0;title\x07", "\x1b[2J", "\r", "\b" * 10, "\x9b2J", "\u202e", "\x00", "\n"):
            await ws.send(f"message {character}")
            await ws.send(f"message {character}".encode())
        await ws.aclose(4000, "reason \x1b[2J \r")

    def refuse(_request):
        return wscore.Refuse(403, "refused \x1b[2J \r")

    for options, word in (({}, "message"), ({"on_request": refuse}, "refused")):
        async with serving(hostile, **options) as server:
            command = [sys.executable, "-m", "wscore", "connect", url_of(server)]
            run = await trio.run_process(command, stdin=b"", capture_stdout=True, capture_stderr=True, check=False)
        output = (run.stdout + run.stderr).decode()
        assert word in output
        assert [character for character in output if not character.isprintable() and character != "\n"] == []


async def test_case_62_rfc_7692_8_secrets_can_be_sent_uncompressed():
    """CRIME: beside text of an attacker's choice, the size of a compressed message tells about secrets in it."""
    assert "compress=False" in (wscore.Connection.send.__doc__ or "")
    options = {"compression": "takeover", "extensions": "permessage-deflate"}
    async with opened(**options) as (raw, ws, nursery):
        nursery.start_soon(ws.send, "attacker's text")
        [frame] = await raw.frames(1)
        assert frame.rsv == RSV1
        nursery.start_soon(lambda: ws.send("secret", compress=False))
        assert await raw.frames(1) == [Frame(TEXT, b"secret")]


async def test_case_63_aiohttp_3_1_unmasked_frames_of_a_client_are_refused():
    """aiohttp, uWebSockets: accepted, although a proxy may take them for something else (RFC 6455 section 10.3)."""
    async with serving() as server, dial(server) as raw:
        await raw.upgrade()
        await raw.send(encode(Frame(TEXT, b"GET / HTTP/1.1")))
        [close] = await raw.frames(1)
        assert (close.opcode, close.payload[:2]) == (CLOSE, close_payload(1002))


FORKS = """
import base64
import os
from {module} import new_mask_key

new_mask_key()
reading, writing = os.pipe()
child = os.fork()
keys = b"".join(new_mask_key() for _ in range(100))
if child == 0:
    os.write(writing, keys)
    os._exit(0)
os.close(writing)
print(keys.hex(), os.read(reading, 1000).hex())
os.waitpid(child, 0)
"""


def test_case_64_aiohttp_3_2_mask_keys_cannot_be_predicted(codec):
    """aiohttp, picows, uWebSockets: keys came from a generator that a few outputs give away, or from a fixed seed (RFC
    6455 section 10.3). Ours come from the operating system, and a forked child does not repeat its parent's.
    """
    keys = []
    for _ in range(2):
        random.seed(64)
        keys += [codec.new_mask_key() for _ in range(2000)]
    assert {len(key) for key in keys} == {4}
    # Of 4,000 random keys of 32 bits, hardly two are the same; and every byte has all values.
    assert len(set(keys)) > 3990
    assert all(len({key[i] for key in keys}) > 250 for i in range(4))
    if hasattr(os, "fork"):
        program = FORKS.format(module=f"{codec.twin}.masking")
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        parent, child = run.stdout.split()
        assert len(parent) == len(child) == 800
        assert parent != child
