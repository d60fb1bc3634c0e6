"""Whose tests are run with wscore underneath: versions, files, what is installed, and what is left out and why.

This is the one place where it stands that wscore differs from what another project's tests expect. A test that
`differs` is run and must fail, so that the list cannot outlive its reasons; one that is `left_out` is not run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Suite:
    """`package` at `version` on PyPI; `tests` are files in its source distribution, or folders.

    `differs` and `left_out` map a pattern of test names (fnmatch; `test_name*` covers all parameters) to the reason.
    `plugin` is a module in this folder that puts wscore underneath. `only` is a pytest -k expression for the tests that
    this concerns, and `fast` one for the short form; `options` are more for pytest. So many of them run: `ran`, in the
    short form `ran_fast`, those that must fail included.
    """

    package: str
    version: str
    tests: tuple[str, ...]
    requirements: tuple[str, ...]
    plugin: str
    differs: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    only: str = ""
    fast: str = ""
    options: tuple[str, ...] = ()
    ran: int = 0
    ran_fast: int = 0


DROPPED = "the test expects 1006, a connection dropped without a Close frame (RFC 6455 section 7.1.1)"

UNKNOWN_PARAMETERS = "permessage-deflate with an unknown parameter must be declined or fail (RFC 7692 section 7.1)"
SENDS_EVENTS = "the test's client hands the application an event that no frame stands for"

SUITES = {
    "uvicorn": Suite(
        "uvicorn",
        "0.54.0",
        tests=("tests/protocols/test_websocket.py",),
        requirements=(
            "uvicorn==0.54.0",
            "httptools==0.9.0",
            "uvloop==0.23.0",
            "websockets==17.4",
            "wsproto==1.3.2",
            "pytest==9.1.1",
            "pytest-mock==3.15.1",
            "httpx2",
            "anyio",
            "trustme==1.2.1",
            "a2wsgi==1.10.10",
        ),
        plugin="under_uvicorn",
        differs={
            "test_duplicate_handshake*": f"{DROPPED}: an application that fails is closed with 1011",
            "test_asgi_return_value*": f"{DROPPED}: an application that fails is closed with 1011",
            "test_close_transport_on_asgi_return*": f"{DROPPED}: an application that returns is closed with 1000",
            "test_close_resumes_reads_paused_on_an_unconsumed_message*": "the test expects that reading pauses at one"
            " message; with wscore it does at ws_max_queue",
        },
        left_out={
            "test_send_binary_data_to_server_bigger*sent=defaults+1*": "wscore reads on after 1009, so that"
            " it is not lost; the test's client then aborts a transport that is closed, which fails in Python 3.11",
            "test_server_keepalive_ping_pong*": "looks at private attributes: when a Ping was sent",
            "test_server_keepalive_disabled*": "looks at private attributes: the timer of Pings",
        },
        only="not wsproto",
        fast="not h11 and not zttp",
        ran=144,
        ran_fast=72,
    ),
    "starlette": Suite(
        "starlette",
        "1.10.0",
        tests=("tests/test_websockets.py", "tests/test_routing.py", "tests/test_endpoints.py"),
        requirements=(
            "starlette[full]==1.10.0",
            "uvicorn==0.54.0",
            "h11==0.16.0",
            "httpx2",
            "anyio",
            "pytest==9.1.1",
        ),
        plugin="under_starlette",
        differs={
            "test_websocket_headers*": "the test's client sends other headers, with a key that is none",
            "test_rejected_connection*": "a close before accept is an HTTP response, 403, which has no close code",
            "test_websocket_route_middleware*": "the test compares names of headers with regard to letter case",
        },
        left_out={
            "test_receive_before_accept*": SENDS_EVENTS,
            "test_receive_wrong_message_type*": SENDS_EVENTS,
        },
        only="websocket and not trio",
        ran=51,
    ),
    "wsproto": Suite(
        "wsproto",
        "1.3.2",
        tests=("tests",),
        requirements=("h11==0.16.0", "pytest==8.4.2"),
        plugin="under_wsproto",
        differs={
            "test_accept_ignores_rubbish": UNKNOWN_PARAMETERS,
            "test_finalize_ignores_rubbish": UNKNOWN_PARAMETERS,
            "test_decompressor_reset*": "a compressed message of no bytes, which is no DEFLATE block: even an empty one"
            " has one byte (RFC 7692 section 7.2.3.6)",
            "test_outbound_compress_multiple_frames*": "the test expects that a fragment waits in the compressor for"
            " the next one; wscore sends what it was given",
        },
        left_out={
            "test_inbound_bad_zlib_decoder_end_state": "puts a decompressor of its own into a private attribute",
        },
        ran=229,
    ),
    "trio-websocket": Suite(
        "trio-websocket",
        "0.12.2",
        tests=("tests",),
        requirements=(
            "trio-websocket==0.12.2",
            "trio==0.35.0",
            "h11==0.16.0",
            "pytest==8.4.2",
            "pytest-trio==0.8.0",
            "trustme==1.2.1",
        ),
        plugin="under_wsproto",
        # What its sources say in a file that the source distribution lacks.
        options=("-o", "trio_mode=true"),
        ran=64,
    ),
    "hypercorn": Suite(
        "hypercorn",
        "0.18.0",
        tests=("tests/protocol/test_ws_stream.py", "tests/asyncio/test_sanity.py", "tests/trio/test_sanity.py"),
        requirements=(
            "hypercorn==0.18.0",
            "h2==4.3.0",
            "h11==0.16.0",
            "trio==0.35.0",
            "pytest==8.4.2",
            "pytest-asyncio==1.2.0",
            "pytest-trio==0.8.0",
            "httpx==0.28.1",
            "mock==5.2.0",
        ),
        plugin="under_wsproto",
        ran=51,
    ),
}
