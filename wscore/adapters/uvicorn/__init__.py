"""uvicorn's WebSocket protocol on wscore: `uvicorn --ws wscore.adapters.uvicorn:WebSocketProtocol app:app`.

`protocol` is the connection, `keepalive` its Pings, `asgi` the scope and the events. Frames and heads are the codec's
and the protocol layer's.
"""

from .protocol import WebSocketProtocol

__all__ = ["WebSocketProtocol"]
