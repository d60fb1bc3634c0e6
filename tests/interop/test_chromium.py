"""Headless Chromium opens the page of `wscore serve` and talks through it.

The browser is driven over its DevTools protocol, which is a WebSocket: `wscore.connect` is the client, so that Chromium
is a peer of ours in both roles. Needs Debian's `chromium`; without one these tests fail, they do not skip.
"""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

import wscore

FLAGS = [
    "--headless",
    "--no-sandbox",  # it runs as root in a container
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--remote-debugging-port=0",
]

# Resolves as soon as a condition on the page holds; every change of the page is looked at.
UNTIL = """new Promise(done => {
  const look = () => (%s) && done(true);
  new MutationObserver(look).observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
  look();
})"""


class Tab:
    """A page in the browser."""

    def __init__(self, ws: wscore.WebSocket, session: str) -> None:
        self._ws = ws
        self._session = session
        self.problems: list[str] = []  # what the browser has to complain about, violations of the policy among them

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return await call(self._ws, method, self._session, self.problems, **parameters)

    async def evaluate(self, expression: str) -> Any:
        result = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def until(self, condition: str) -> None:
        await self.evaluate(UNTIL % condition)

    async def text(self, name: str) -> str:
        return str(await self.evaluate(f"document.getElementById({name!r}).textContent"))

    async def click(self, name: str) -> None:
        await self.evaluate(f"document.getElementById({name!r}).click()")

    async def type(self, text: str) -> None:
        """Replace what is in the field, key by key as far as the page can tell, and press Enter."""
        await self.evaluate("document.getElementById('message').select()")
        await self.call("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
            await self.call("Input.dispatchKeyEvent", type=kind, text="\r" if kind == "keyDown" else "", **key)


numbers = itertools.count(1)


async def call(
    ws: wscore.WebSocket, method: str, session: str | None, problems: list[str], **parameters: Any
) -> dict[str, Any]:
    number = next(numbers)
    message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
    await ws.send(json.dumps(message))
    while (answer := json.loads(await ws.receive())).get("id") != number:
        if answer["method"] in ("Log.entryAdded", "Runtime.exceptionThrown"):
            problems.append(json.dumps(answer["params"]))
    assert "error" not in answer, answer
    result: dict[str, Any] = answer["result"]
    return result


@asynccontextmanager
async def browser(folder: Path, address: str) -> AsyncIterator[Tab]:
    """Start Chromium with an empty profile, open `address` in it, and end it afterwards."""
    program = shutil.which("chromium")
    if program is None:
        missing = "there is no `chromium` on the path: install Debian's package of this name"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    command = [program, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    process = await trio.lowlevel.open_process(command, stderr=subprocess.PIPE, env=os.environ | {"HOME": str(folder)})
    try:
        async with trio.open_nursery() as nursery:
            url = await nursery.start(find_devtools, process)
            async with wscore.connect(url, max_message_size=16 << 20, compression="takeover") as ws:
                yield await open_tab(ws, address)
                await call(ws, "Browser.close", None, [])
            await process.wait()
            nursery.cancel_scope.cancel()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def find_devtools(process: trio.Process, task_status: trio.TaskStatus[str]) -> None:
    """Report the address that Chromium prints, and go on reading, so that it never waits for us."""
    seen = b""
    assert process.stderr is not None
    async for data in process.stderr:
        seen += data
        if match := re.search(rb"^DevTools listening on (ws://\S+)$", seen, re.MULTILINE):
            task_status.started(match[1].decode())
            break
    else:
        raise AssertionError(f"Chromium did not start: {seen.decode()}")
    async for _ in process.stderr:
        pass


async def open_tab(ws: wscore.WebSocket, address: str) -> Tab:
    target = (await call(ws, "Target.createTarget", None, [], url="about:blank"))["targetId"]
    session = (await call(ws, "Target.attachToTarget", None, [], targetId=target, flatten=True))["sessionId"]
    tab = Tab(ws, session)
    for domain in ("Log", "Runtime", "Page"):
        await tab.call(f"{domain}.enable")
    await tab.call("Page.navigate", url=address)
    await tab.evaluate(
        "new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', done))"
    )
    return tab


@asynccontextmanager
async def served(*options: str) -> AsyncIterator[tuple[trio.Process, str]]:
    """Run `wscore serve`; yields its process and where the page is."""
    command = [sys.executable, "-m", "wscore", "serve", "--port", "0", *options]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            data = await process.stdout.receive_some()
            assert data, "wscore serve did not start"
            line += data
        yield process, line.split()[-1].decode() + "/"
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


@pytest.mark.parametrize("policy", ["off", "takeover", "shared", "dedicated"])
async def test_a_person_tries_the_page(tmp_path: Path, policy: str) -> None:
    async with served("--compression", policy) as (_, address), browser(tmp_path, address) as tab:
        await tab.click("connect")
        await tab.until("document.getElementById('state').dataset.is === 'open'")
        assert ("permessage-deflate" in await tab.text("details")) == (policy != "off")

        await tab.type("Grüße aus Chromium 😀")
        await tab.until("document.getElementById('replies').textContent === '1'")
        first = "document.querySelector('#log li.received')"
        assert await tab.evaluate(f"{first}.querySelector('code').textContent") == "Grüße aus Chromium 😀"
        assert re.fullmatch(r"\d+\.\d+ ms", await tab.evaluate(f"{first}.querySelector('small').textContent"))
        for name in ("last", "fastest", "median"):
            assert re.fullmatch(r"\d+\.\d+ ms", await tab.text(name))

        await tab.click("binary")
        await tab.type("abc")
        await tab.until("document.getElementById('replies').textContent === '2'")
        assert await tab.evaluate(f"{first}.querySelector('code').textContent") == "3 bytes: 61 62 63"

        await tab.click("connect")
        await tab.until("document.getElementById('state').dataset.is === 'closed'")
        assert await tab.text("details") == "closed with 1000"
        assert tab.problems == []


LARGE = """new Promise((done, failed) => {
  const socket = new WebSocket(url);
  const text = "0123456789 ä€😀 ".repeat(40000);
  const bytes = new Uint8Array(1000000).map((_, i) => (i * 2654435761) >>> 24);
  const sent = [text, bytes.buffer, "", new ArrayBuffer(0), text.slice(0, 100000)];
  const same = (a, b) => typeof b === "string" ? a === b :
    a.byteLength === b.byteLength && new Uint8Array(a).every((byte, i) => byte === new Uint8Array(b)[i]);
  let count = 0;
  socket.binaryType = "arraybuffer";
  socket.onopen = () => sent.forEach(message => socket.send(message));
  socket.onmessage = event => {
    if (!same(event.data, sent[count])) failed(new Error("reply " + count + " differs"));
    if (++count === sent.length) socket.close(4321);
  };
  socket.onclose = event => done([count, event.code, event.wasClean]);
})"""


@pytest.mark.parametrize("policy", ["off", "takeover", "shared", "dedicated"])
async def test_large_and_empty_messages_come_back_as_they_were(tmp_path: Path, policy: str) -> None:
    async with served("--compression", policy) as (_, address), browser(tmp_path, address) as tab:
        assert await tab.evaluate(LARGE) == [5, 4321, True]


async def test_the_page_says_that_the_server_is_going_away(tmp_path: Path) -> None:
    async with served() as (process, address), browser(tmp_path, address) as tab:
        await tab.click("connect")
        await tab.until("document.getElementById('state').dataset.is === 'open'")
        process.send_signal(signal.SIGTERM)
        await tab.until("document.getElementById('state').dataset.is === 'closed'")
        assert (await tab.text("details")).startswith("closed with 1001")
        assert await process.wait() == 0


async def test_a_page_from_elsewhere_may_not_connect(tmp_path: Path) -> None:
    async with served() as (_, address), browser(tmp_path, "about:blank") as tab:
        url = address.replace("http", "ws") + "echo"
        outcome = (
            f"new Promise(done => {{ const s = new WebSocket({url!r}); s.onopen = s.onerror = e => done(e.type) }})"
        )
        assert await tab.evaluate(outcome) == "error"
