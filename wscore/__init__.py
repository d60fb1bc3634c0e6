"""The public names of wscore, each loaded when it is first used (PEP 562).

This module decides what is public at the top level, and nothing else. It imports nothing by itself, so that whoever
embeds the codec or `Connection` pays neither for Trio nor for the server: `from wscore import Connection` loads the
codec and the protocol, `wscore.serve` loads the transport. Where that needs what is not installed, the error names the
extra that brings it.
"""


from wscore._version import __version__

TYPE_CHECKING = False

__all__ = [
    "CLIENT",
    "SERVER",
    "Accept",
    "Close",
    "CloseCode",
    "Connection",
    "ConnectionClosed",
    "ConnectionLost",
    "DeflateParameters",
    "Event",
    "Handshake",
    "HandshakeError",
    "Headers",
    "LocalProtocolError",
    "Opcode",
    "Page",
    "Piece",
    "Ping",
    "Pong",
    "PreparedMessage",
    "Rate",
    "Refuse",
    "Request",
    "Response",
    "Role",
    "Server",
    "State",
    "WebSocket",
    "__version__",
    "broadcast",
    "codec",
    "connect",
    "prepare",
    "serve",
    "serve_stream",
]

# Type checkers read these imports; at run time `__getattr__` does the same from the table. A test compares the two.
if TYPE_CHECKING:
    from wscore import codec
    from wscore.client.connect import connect
    from wscore.codec.errors import LocalProtocolError
    from wscore.codec.messages import Piece
    from wscore.codec.opcodes import CLIENT, SERVER, CloseCode, Opcode, Role
    from wscore.protocol.connection import Connection, State, broadcast
    from wscore.protocol.events import Close, Event, Ping, Pong
    from wscore.protocol.extensions import DeflateParameters
    from wscore.protocol.handshake import Accept, Handshake, HandshakeError, Headers, Page, Refuse, Request, Response
    from wscore.protocol.prepared import PreparedMessage, prepare
    from wscore.server.serve import Server, serve, serve_stream
    from wscore.session.rates import Rate
    from wscore.transport.errors import ConnectionClosed, ConnectionLost
    from wscore.transport.websocket import WebSocket
else:
    _HOMES = {
        "wscore.client.connect": "connect",
        "wscore.codec.errors": "LocalProtocolError",
        "wscore.codec.messages": "Piece",
        "wscore.codec.opcodes": "CLIENT SERVER CloseCode Opcode Role",
        "wscore.protocol.connection": "Connection State broadcast",
        "wscore.protocol.events": "Close Event Ping Pong",
        "wscore.protocol.extensions": "DeflateParameters",
        "wscore.protocol.handshake": "Accept Handshake HandshakeError Headers Page Refuse Request Response",
        "wscore.protocol.prepared": "PreparedMessage prepare",
        "wscore.server.serve": "Server serve serve_stream",
        "wscore.transport.errors": "ConnectionClosed ConnectionLost",
        "wscore.session.rates": "Rate",
        "wscore.transport.websocket": "WebSocket",
    }
    _HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}
    # What runs on Trio, and reads HTTP with h11; all else needs the standard library alone.
    _ON_TRIO = ("wscore.client.", "wscore.server.", "wscore.transport.")

    def __getattr__(name):
        """Load the module that a public name comes from, and keep the name."""
        from importlib import import_module

        if name == "codec":
            return import_module("wscore.codec")
        if name not in _HOME_OF:
            raise AttributeError(f"module 'wscore' has no attribute {name!r}")
        if _HOME_OF[name].startswith(_ON_TRIO):
            import_module("wscore._extras").require(f"wscore.{name}", "trio", "trio", "h11")
        value = globals()[name] = getattr(import_module(_HOME_OF[name]), name)
        return value

    def __dir__():
        """All names that can be had, those not yet loaded included: `help(wscore)` looks at each."""
        from importlib.util import find_spec

        has_trio = find_spec("trio") and find_spec("h11")
        names = (name for name in __all__ if has_trio or not _HOME_OF.get(name, "").startswith(_ON_TRIO))
        return sorted({*globals(), *names})
