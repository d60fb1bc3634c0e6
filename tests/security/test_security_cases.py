"""The table of the 64 security cases: weaknesses that other WebSocket libraries have had, as their advisories, trackers
and release notes tell them.

Each case has one test, `test_case_<number>_<identifier>_...`, in one of the files beside this one, or stands in `LATER`
with what will bring the feature that it is about, and with it the test. Nothing here says that a version of somebody
else's library is affected: that is for its own advisories to say.
"""

import re
from collections import Counter
from pathlib import Path

SOURCES = "".join(path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("test_cases_*.py")))

# What was wrong, and whose it was; the test of a case says it in a sentence.
CASES = {
    # test_cases_of_size.py
    1: "CVE-2018-1000518, websockets: inflating without limit",
    2: "CVE-2016-10544, uws: size checked before inflating only",
    3: "CVE-2026-1526, undici: inflating bomb",
    4: "CVE-2026-39804, Bandit: 6 MiB inflate to gibibytes",
    5: "CVE-2021-21419, eventlet: large frames and bombs",
    6: "#1162, Centrifugo: the limit binds the compressed size only",
    7: "#5435, undici: what is left of the budget is ignored across fragments",
    8: "zlib: a max_length of 0 means that there is none",
    9: "#13362, aiohttp: many members of a DEFLATE stream, or tiny outputs, burn CPU",
    10: "CVE-2026-54274, aiohttp: an incomplete payload is buffered before its size is checked",
    11: "#13350 and #13352, aiohttp: a dribbled frame takes many times its size",
    12: "#13393, aiohttp: empty messages weigh nothing in a queue with a limit in bytes",
    13: "CVE-2026-48779, ws: tiny and empty fragments are not counted",
    14: "CVE-2026-9675 and CVE-2026-12151, undici: neither size nor number of fragments is limited",
    15: "CVE-2026-42786, Bandit: reassembly without limit",
    16: "#100 and #140, fastwebsockets: fragments together have no limit",
    17: "CVE-2022-35922, rust-websocket: allocates what a header declares",
    18: "CVE-2026-19204, Jetty: allocates before it looks at the opcode",
    19: "CVE-2020-35896, ws-rs: outgoing buffer without limit",
    20: "CVE-2016-10542, ws: 256 MiB by default",
    21: "CVE-2026-44545, daphne: limits are not passed on",
    22: "#5503, undici: no backpressure on what is received",
    23: "CVE-2026-34824, Mesop: one thread for each message",
    24: "CVE-2023-43669, tungstenite: a long handshake is parsed from its start again and again",
    25: "CVE-2021-32640, ws: regular expression on Sec-WebSocket-Protocol",
    26: "10.0, websockets: a Ping while closing crashes",
    # test_cases_of_state.py
    27: "CVE-2020-27813, gorilla: overflow of the bytes that remain",
    28: "CVE-2020-13935, Tomcat: top bit of a 64-bit length",
    29: "CVE-2026-1528, undici: 64-bit length crashes",
    30: "#13415 and #13514, aiohttp: 64-bit length overflows in compiled code",
    31: "#3860, gpac: length + 1 wraps",
    32: "CVE-2026-29035, CivetWeb: inflating writes out of bounds",
    33: "CVE-2016-10518, ws: ping(number) leaks memory",
    34: "CVE-2026-45736, ws: a reason that is a typed array leaks memory",
    35: "CVE-2025-11677, libwebsockets: use after free in the callback of the upgrade",
    36: "CVE-2025-1866 and CVE-2026-19773, libwebsockets: reads out of bounds",
    37: "CVE-2025-11234, QEMU: use after free during the handshake",
    38: "CVE-2021-45945 and others, uWebSockets: HTTP parser out of bounds",
    39: "CVE-2018-25032 and CVE-2016-9840, zlib: memory errors",
    40: "#11725, aiohttp: a cancelled send corrupts the compressor",
    41: "#12988 and #13274, aiohttp; #720, eventlet: control frames disturb compression",
    42: "#11862, aiohttp: a continuation without a start is accepted",
    43: "#12895, aiohttp: close codes above 4999 are accepted",
    44: "#2794, libwebsockets: an uncompressed message beside compression loops",
    45: "16.1, websockets: wrongly fragmented compressed messages are accepted",
    # test_cases_of_handshakes.py
    46: "CVE-2026-59881, aiohttp: a client inflates what was not agreed on",
    47: "CVE-2026-69243, aiohttp: the body of a refused upgrade is the next request",
    48: "#12723, aiohttp: Connection: notupgrade is taken for an upgrade",
    49: "#115, picows: Connection: keep-alive, Upgrade is refused",
    50: "CVE-2024-37890, ws: many headers hide Upgrade and crash",
    51: "GHSA-5v72-xg48-5rpm, ws: an extension named constructor crashes",
    52: "CVE-2026-2229, undici: server_max_window_bits out of range",
    53: "#171, zlib: raw window of 8 bits",
    54: "CVE-2026-1527, undici: CR LF in a header of the upgrade",
    55: "CVE-2020-35678, autobahn: header injection through a redirect",
    56: "16.1, websockets: credentials follow a redirect to another origin",
    57: "CVE-2021-33880, websockets: password comparison takes a time that tells",
    58: "CVE-2019-13611, python-engineio: Origin is not checked",
    59: "CVE-2026-97152, nanomsg: Sec-WebSocket-Version overflows",
    60: "CVE-2026-61666, websocket-driver: a malformed Host crashes",
    61: "16.1, websockets: control characters of the peer reach the terminal",
    62: "RFC 7692 section 8: secrets beside an attacker's text in one compressed message",
    63: "3.1, aiohttp's threat model; #691, uWebSockets: unmasked frames of clients are accepted",
    64: "3.2, aiohttp's threat model; picows, uWebSockets: mask keys can be predicted",
}

# Cases whose feature does not exist yet, and what will bring it with its test.
LATER: dict[int, str] = {}

# Parts of cases that have a test for the rest.
PARTS_LATER = {
    36: "HTTP/2: not spoken here, and not planned",
    38: "the tree of topics: channels",
    39: "pinning a zlib: the wheels",
}


def numbers_of_tests() -> list[int]:
    """The number of the case of each test in this folder."""
    return [int(number) for number in re.findall(r"^(?:async )?def test_case_(\d\d)_", SOURCES, re.M)]


def test_each_of_the_64_cases_is_accounted_for_exactly_once():
    assert list(CASES) == list(range(1, 65))
    assert Counter(numbers_of_tests()) + Counter(LATER.keys()) == Counter(CASES.keys())


def test_what_comes_later_in_part_has_a_test_for_the_rest():
    assert PARTS_LATER.keys() <= set(numbers_of_tests())


def test_tests_are_named_after_their_cases():
    """The first identifier of the table stands in the name: whoever searches for it finds both."""
    for number in numbers_of_tests():
        words = re.findall(r"[a-z0-9]+", re.split(":|;| and ", CASES[number])[0].lower())
        name = re.search(rf"def test_case_{number:02}_(\w+)", SOURCES)
        assert name is not None
        assert {word for word in words if any(map(str.isdigit, word))} <= set(name[1].split("_")), number
