"""Applications of FastAPI, Starlette, Litestar and Quart, written as ever, on uvicorn with our adapter."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

import wscore

from .asgi_server import serving


def absent(name: str) -> None:
    (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is not installed; see CONTRIBUTING.md")


def fastapi_app() -> Any:
    from typing import Annotated

    from fastapi import Depends, FastAPI, Query, WebSocket, WebSocketDisconnect, WebSocketException, status

    app = FastAPI()
    app.state.ends = []

    async def token_of(websocket: WebSocket, token: Annotated[str | None, Query()] = None) -> str:
        if token is None:
            raise WebSocketException(code=status.WS_1008_POLICY_VIOLATION)
        return token

    @app.websocket("/chat/{room}")
    async def chat(websocket: WebSocket, room: str, token: Annotated[str, Depends(token_of)]) -> None:
        await websocket.accept()
        try:
            while True:
                text = await websocket.receive_text()
                await websocket.send_json({"room": room, "token": token, "text": text})
        except WebSocketDisconnect as end:
            app.state.ends.append((end.code, end.reason))

    return app


def starlette_app() -> Any:
    from starlette.applications import Starlette
    from starlette.endpoints import WebSocketEndpoint
    from starlette.responses import JSONResponse
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket

    class Chat(WebSocketEndpoint):
        encoding = "text"

        async def on_connect(self, websocket: WebSocket) -> None:
            if "token" not in websocket.query_params:
                await websocket.send_denial_response(JSONResponse({"detail": "no token"}, status_code=403))
                return
            await websocket.accept()

        async def on_receive(self, websocket: WebSocket, data: Any) -> None:
            token = websocket.query_params["token"]
            await websocket.send_json({"room": websocket.path_params["room"], "token": token, "text": data})

        async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
            app.state.ends.append((close_code, "bye"))

    app = Starlette(routes=[WebSocketRoute("/chat/{room}", Chat)])
    app.state.ends = []
    return app


def litestar_app() -> Any:
    from litestar import Litestar, WebSocket, websocket
    from litestar.exceptions import PermissionDeniedException, WebSocketDisconnect
    from litestar.params import FromPath

    @websocket("/chat/{room:str}")
    async def chat(socket: WebSocket[Any, Any, Any], room: FromPath[str]) -> None:
        token = socket.query_params.get("token")
        if token is None:
            raise PermissionDeniedException
        await socket.accept()
        try:
            while True:
                await socket.send_json({"room": room, "token": token, "text": await socket.receive_text()})
        except WebSocketDisconnect as end:
            app.state.ends.append((end.code, "bye"))

    app = Litestar([chat])
    app.state.ends = []
    return app


def quart_app() -> Any:
    from asyncio import CancelledError

    from quart import Quart, abort, websocket

    app = Quart(__name__)
    app.state = type("State", (), {"ends": []})  # type: ignore[attr-defined]

    @app.websocket("/chat/<room>")
    async def chat(room: str) -> None:
        if "token" not in websocket.args:
            abort(403)
        try:
            while True:
                text = await websocket.receive()
                await websocket.send_json({"room": room, "token": websocket.args["token"], "text": text})
        except CancelledError:
            # How Quart tells a handler that the client has gone; of code and reason it says nothing.
            app.state.ends.append((4000, "bye"))  # type: ignore[attr-defined]
            raise

    return app


APPLICATIONS = {"fastapi": fastapi_app, "starlette": starlette_app, "litestar": litestar_app, "quart": quart_app}


@pytest.fixture(params=APPLICATIONS)
def application(request: pytest.FixtureRequest) -> Any:
    make: Callable[[], Any] = APPLICATIONS[request.param]
    try:
        return make()
    except ImportError:
        return absent(request.param)


@pytest.mark.parametrize("lifespan", ["on", "off"])
async def test_application_talks_and_hears_of_the_end(application: Any, lifespan: str) -> None:
    with serving(application, lifespan=lifespan) as running:
        async with wscore.connect(running.url + "chat/main?token=abc") as ws:
            for text in ("hello", "grüße"):
                await ws.send(text)
                answer = await ws.receive()
                assert isinstance(answer, str)
                expected = {"room": "main", "token": "abc", "text": text}
                assert json.loads(answer) == expected
            await ws.aclose(4000, "bye")
        await running.until(lambda: application.state.ends)
    assert application.state.ends == [(4000, "bye")]


@pytest.mark.parametrize("path", ["chat/main", "elsewhere"])
async def test_application_refuses(application: Any, path: str) -> None:
    with serving(application) as running, pytest.raises(wscore.HandshakeError) as refused:
        async with wscore.connect(running.url + path):
            pass
    assert refused.value.response is not None
    assert refused.value.response.status in (403, 404)


async def test_server_that_stops_takes_the_application_with_it(application: Any) -> None:
    with serving(application) as running:
        async with wscore.connect(running.url + "chat/main?token=abc") as ws:
            await ws.send("hello")
            await ws.receive()
            running.shut_down()
            with pytest.raises(wscore.ConnectionClosed) as closed:
                await ws.receive()
    assert closed.value.code == 1012
