"""`wscore serve --metrics`: what Prometheus reads, on an address of its own."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

import wscore
from wscore.codec import IMPLEMENTATION

from .operating import ROOT, operated, page, until


async def test_what_a_server_does_is_counted(running: Callable[..., Any], tmp_path: Path) -> None:
    async with operated(running, tmp_path, "--ping-interval", 0.01) as server:
        async with wscore.connect(server.url) as ws:
            for _ in range(3):
                await ws.send("hello")
                assert await ws.receive() == "hello"
            samples = await server.scrape()
            assert samples["wscore_connections"] == 1

            async def was_pinged() -> bool:
                return (await server.scrape())["wscore_ping_latency_seconds_gcount"] == 1

            await until(was_pinged)
        with pytest.raises(wscore.HandshakeError):
            async with wscore.connect(server.url, headers=[("Origin", "http://evil.example")]):
                pass

        async def has_ended() -> bool:
            return (await server.scrape())["wscore_connections"] == 0

        await until(has_ended)
        samples = await server.scrape()
        assert samples["wscore_connections_opened_total"] == 1
        assert samples["wscore_messages_received_total"] == samples["wscore_messages_sent_total"] == 3
        assert samples["wscore_received_bytes_total"] >= 3 * (len("hello") + 6)
        assert samples["wscore_sent_bytes_total"] >= 3 * (len("hello") + 2)
        assert samples['wscore_closes_total{code="1000"}'] == 1
        assert samples['wscore_refusals_total{reason="origin"}'] == 1
        assert samples["wscore_turn_seconds_count"] > 0
        assert samples["wscore_turn_seconds_sum"] > 0
        assert samples["wscore_cpu_seconds_total"] > 0
        assert samples[f'wscore_info{{implementation="{IMPLEMENTATION}",version="{wscore.__version__}"}}'] == 1
        assert "wscore_workers" not in samples


@pytest.mark.parametrize("workers", [(), ("--workers", 2)])
async def test_the_address_of_the_metrics_has_two_pages_and_nothing_else(
    running: Callable[..., Any], tmp_path: Path, workers: tuple[object, ...]
) -> None:
    async with operated(running, tmp_path, *workers) as server:
        assert await server.page("/healthz") == (200, "ok\n")
        assert (await server.page("/"))[0] == 404
        assert (await server.page("/metrics", Host="evil.example"))[0] == 403
        with pytest.raises(wscore.HandshakeError) as caught:
            async with wscore.connect(server.metrics.replace("http", "ws")):
                pass
        assert caught.value.response is not None
        assert caught.value.response.status == 404
        assert (await page(server.url.replace("ws", "http"), "/metrics"))[0] == 404


async def test_health_says_that_it_is_closing(running: Callable[..., Any], tmp_path: Path) -> None:
    app = "import trio\nasync def handler(ws):\n    await trio.sleep(1000)\n"
    arguments = ("--drain-timeout", 1000, "--close-timeout", 1000)
    async with operated(running, tmp_path, *arguments, app=app) as server, wscore.connect(server.url) as ws:
        server.signal(signal.SIGTERM)
        await server.event("draining")
        with pytest.raises(wscore.ConnectionClosed):
            await ws.receive()
        assert await server.page("/healthz") == (503, "closing\n")
        assert (await server.page("/metrics"))[0] == 200
        server.program.process.kill()


async def test_without_prometheus_client_the_extra_is_named(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "prometheus_client.py").write_text("raise ModuleNotFoundError('there is none')\n")
    env = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    result = await run("serve", "--port", 0, "--metrics", "127.0.0.1:0", env=env)
    sentence = "a page of metrics needs prometheus-client: pip install 'wscore-websockets[metrics]'"
    assert result == (2, "", f"wscore: {sentence}\n")


async def test_an_address_in_use_is_one_sentence(run: Callable[..., Any]) -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    status, _, errors = await run("serve", "--port", 0, "--metrics", f"127.0.0.1:{port}")
    assert (status, errors) == (1, f"wscore: cannot listen on 127.0.0.1 port {port}: Address already in use\n")
    await listener.aclose()


async def test_it_says_where_they_are(running: Callable[..., Any]) -> None:
    async with running("serve", "--port", 0, "--metrics", "127.0.0.1:0") as program:
        place = (await program.read_line()).rpartition(", metrics on ")[2]
        assert (await page(place, "/metrics"))[0] == 200
