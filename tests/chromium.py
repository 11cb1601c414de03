"""A real Chromium without a window, driven over the DevTools protocol: for tests, benchmarks and pictures."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

INSTALL_TIMEOUT_S = 200.0
"""Of each of two commands, together within the time of one test."""
START_TIMEOUT_S = 60.0
CALL_TIMEOUT_S = 30.0
END_TIMEOUT_S = 15.0
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def find_chromium() -> str | None:
    """Path of a Chromium on this machine."""
    return next((path for path in map(shutil.which, _NAMES) if path), None)


def install_chromium() -> str | None:
    """Path of a Chromium, which is installed as the system's package where this process may do that."""
    if find_chromium() is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (
            ["apt-get", "update"],
            ["apt-get", "install", "-y", "--no-install-recommends", "chromium"],
        ):
            with suppress(subprocess.TimeoutExpired):  # a stalled mirror is as good as none
                subprocess.run(command, capture_output=True, timeout=INSTALL_TIMEOUT_S, check=False)
    return find_chromium()


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._events: list[tuple[str, asyncio.Future[Any]]] = []
        self.problems: list[str] = []
        """Uncaught exceptions, and errors that the browser logged, violations of the policy among them."""
        self.requests: list[str] = []
        """Addresses that the page asked for, its own file's left out."""
        self._address = ""

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        found: dict[str, Any] = await asyncio.wait_for(answer, CALL_TIMEOUT_S)
        return found

    async def open(self, path: Path, fragment: str = "") -> None:
        """Load a file, anew even if it is open."""
        if self._address:
            await self._load("about:blank")
        self._address = path.resolve().as_uri()
        await self._load(self._address + fragment)

    async def _load(self, address: str) -> None:
        loaded = asyncio.get_running_loop().create_future()
        self._events.append(("Page.loadEventFired", loaded))
        await self.call("Page.navigate", url=address)
        await asyncio.wait_for(loaded, CALL_TIMEOUT_S)

    async def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression, awaited; raises what it throws."""
        answer = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:2000])
        return answer["result"].get("value")

    async def until(self, expression: str) -> Any:
        """The value of an expression once it is true; looks at every frame."""
        script = f"""new Promise((done) => {{
            const look = () => {{ const value = ({expression}); value ? done(value) : setTimeout(look, 5); }};
            look();
        }})"""
        return await self.evaluate(script)

    async def press(self, key: str, text: str = "") -> None:
        """Press and release a key, named as in `KeyboardEvent.key`."""
        codes = {"Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38, "Tab": 9, "End": 35, "Home": 36}
        text = "\r" if key == "Enter" else text or (key if len(key) == 1 else "")
        code = codes.get(key, ord(key.upper()[0]) if len(key) == 1 else 0)
        event = {"key": key, "windowsVirtualKeyCode": code, "nativeVirtualKeyCode": code}
        await self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **event)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    async def type(self, text: str) -> None:
        """Type text where the focus is."""
        await self.call("Input.insertText", text=text)

    async def look(self, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        """Size of the window, in pixels, and the reader's colour scheme."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def picture(self) -> bytes:
        """What the window shows, as PNG."""
        return base64.b64decode((await self.call("Page.captureScreenshot"))["data"])

    async def listen(self) -> None:
        """Take in answers and events until the socket closes."""
        async for message in self._socket:
            document = json.loads(message.data)
            if "id" in document:
                self._answer(document)
            else:
                self._event(document["method"], document["params"])

    def _answer(self, document: dict[str, Any]) -> None:
        answer = self._answers.pop(document["id"])
        if "error" in document:
            answer.set_exception(RuntimeError(str(document["error"])))
        else:
            answer.set_result(document["result"])

    def _event(self, name: str, parameters: dict[str, Any]) -> None:
        if name == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.problems.append(str(details.get("exception", {}).get("description", details["text"])))
        elif name == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.problems.append(parameters["entry"]["text"])
        elif name == "Network.requestWillBeSent":
            address = parameters["request"]["url"].partition("#")[0]
            if address not in (self._address, "about:blank"):
                self.requests.append(address)
        for waiting in [each for each in self._events if each[0] == name]:
            self._events.remove(waiting)
            waiting[1].set_result(parameters)


@asynccontextmanager
async def browser(program: str) -> AsyncIterator[Page]:
    """A tab of a fresh browser, closed with all it started."""
    with tempfile.TemporaryDirectory(prefix="agentray-chromium-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            program,
            *("--headless=new", "--remote-debugging-port=0", f"--user-data-dir={profile}", "--no-first-run"),
            *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "about:blank"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            port = await asyncio.wait_for(_port(Path(profile), process), START_TIMEOUT_S)
            async with aiohttp.ClientSession() as session:
                address = await asyncio.wait_for(_address(session, port), START_TIMEOUT_S)
                async with session.ws_connect(address, max_msg_size=0) as socket:
                    page = Page(socket)
                    listening = asyncio.create_task(page.listen())
                    for domain in ("Page", "Runtime", "Log", "Network"):
                        await page.call(f"{domain}.enable")
                    yield page
                    listening.cancel()
        finally:
            await _end(process)


async def _port(profile: Path, process: asyncio.subprocess.Process) -> int:
    """Port that the browser chose; it writes it down when it listens."""
    chosen = profile / "DevToolsActivePort"
    while not (chosen.is_file() and chosen.read_text().strip()):
        if process.returncode is not None:
            raise RuntimeError(f"the browser ended with {process.returncode} before it listened")
        await asyncio.sleep(0.02)
    return int(chosen.read_text().split()[0])


async def _address(session: aiohttp.ClientSession, port: int) -> str:
    """Address of the first tab, which may open a moment after the port."""
    while True:
        async with session.get(f"http://127.0.0.1:{port}/json") as answer:
            targets = await answer.json(content_type=None)
        for each in targets:
            if each["type"] == "page":
                return str(each["webSocketDebuggerUrl"])
        await asyncio.sleep(0.02)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Terminate the browser; kill it where it does not obey."""
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), END_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await asyncio.wait_for(process.wait(), END_TIMEOUT_S)
