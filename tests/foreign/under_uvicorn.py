"""A plugin for pytest inside uvicorn's own tests: its WebSocket implementation is wscore's adapter."""

from uvicorn.protocols.websockets import websockets_sansio_impl

from wscore.adapters.uvicorn import WebSocketProtocol

websockets_sansio_impl.WebSocketsSansIOProtocol = WebSocketProtocol
