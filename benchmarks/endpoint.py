"""A mock OpenAI-compatible endpoint that costs little: it answers the counting game after a fixed latency.

    python benchmarks/endpoint.py --latency 0.05 --faults 0.1

It runs in a process of its own, which prints its URL, binds loopback only and ends when its standard input
closes. A benchmark shares the machine with it, so it is a bare `asyncio.Protocol` that reads two numbers out
of a request and never parses JSON. Faults depend on the seed, the conversation, the turn and the attempt,
never on the order of arrival: every client that plays the same games meets the same ones.

    GET  /v1/models              the one model
    POST /v1/chat/completions    "Last number: N" -> "Action: N+1"
    GET  /stats                  counters, see `Ledger.document`
    GET  /reset                  forget the counters (after a warm-up)
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import hashlib
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

FAULTS = (
    "status_500",
    "status_429",
    "status_503",
    "dropped",
    "truncated",
    "garbage",
    "no_completion",
    "stall",
)
"""What can go wrong with a call, in equal shares."""
_BACKLOG = 4096
_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
_TASK = re.compile(rb"Count from (-?\d+ to -?\d+)")
_LAST = b"Last number: "
_DIGITS = re.compile(rb"-?\d+")
_REASONS = {200: "OK", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error"}
_COMPLETION = (
    b'{"id":"chatcmpl-0","object":"chat.completion","created":1700000000,"model":"counter","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"Action: %d"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":%d,"completion_tokens":4,"total_tokens":%d}}'
)
_MODELS = (
    b'{"object":"list","data":[{"id":"counter","object":"model","created":1700000000,"owned_by":"mock"}]}'
)
_ERROR = b'{"error":{"message":"injected fault","type":"server_error"}}'
_GARBAGE = b"<html><body>upstream is restarting</body></html>"


def _response(status: int, body: bytes, content_type: bytes = b"application/json") -> bytes:
    head = b"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
    return head % (status, _REASONS.get(status, "Unavailable").encode(), content_type, len(body)) + body


class Ledger:
    """What the endpoint was asked and what it answered."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.received = self.calls = self.abandoned = self.waiting = self.most_waiting = 0
        self.faults: Counter[str] = Counter()
        self.conversations: dict[bytes, dict[int, int]] = {}
        self.attempts: Counter[tuple[bytes, int]] = Counter()
        self.first_call_s: float | None = None
        self.last_call_s: float | None = None
        self._cpu_s = time.process_time()

    def arrive(self) -> None:
        """A request is here."""
        self.received += 1
        self.waiting += 1
        if self.waiting > self.most_waiting:
            self.most_waiting = self.waiting
        if self.first_call_s is None:
            self.first_call_s = time.monotonic()

    def complete(self, conversation: bytes, turn: int) -> None:
        """A right answer went out."""
        self.calls += 1
        turns = self.conversations.get(conversation)
        if turns is None:
            turns = self.conversations[conversation] = {}
        turns[turn] = turns.get(turn, 0) + 1
        self.last_call_s = time.monotonic()

    def document(self) -> dict[str, Any]:
        """Everything, as JSON. Times are seconds of the monotonic clock, which processes share."""
        conversations = {
            name.decode(): [turns.get(turn, 0) for turn in range(max(turns) + 1)]
            for name, turns in self.conversations.items()
        }
        return {
            "received": self.received,
            "calls": self.calls,
            "abandoned": self.abandoned,
            "most_waiting": self.most_waiting,
            "faults": dict(self.faults),
            "paid_again": sum(count - 1 for turns in conversations.values() for count in turns if count),
            "conversations": conversations,
            "first_call_s": self.first_call_s,
            "last_call_s": self.last_call_s,
            "cpu_s": time.process_time() - self._cpu_s,
        }


class Service:
    """The answers, their delay and their faults, shared by all connections.

    Args:
        latency_s: Time from a request to its answer.
        faults: Share of the calls that go wrong, in [0, 1].
        seed: Decides which.
        stall_s: How long a stalled call hangs before its connection closes.
    """

    def __init__(self, latency_s: float, faults: float, seed: int, stall_s: float) -> None:
        self.ledger = Ledger()
        self._latency_s, self._faults, self._seed, self._stall_s = latency_s, faults, seed, stall_s
        self._loop = asyncio.get_running_loop()
        self._due: deque[tuple[float, Callable[[], None]]] = deque()

    def get(self, path: bytes) -> bytes:
        """Answer to a GET request."""
        if path.endswith(b"/models"):
            return _response(200, _MODELS)
        if path == b"/reset":
            self.ledger.clear()
            return _response(200, b"{}")
        if path == b"/stats":
            return _response(200, json.dumps(self.ledger.document()).encode())
        return _response(404, _ERROR)

    def post(self, connection: Connection, body: bytes) -> None:
        """Answer a chat completion later."""
        self.ledger.arrive()
        task = _TASK.search(body)
        place = body.rfind(_LAST)
        number = _DIGITS.match(body, place + len(_LAST)) if place >= 0 else None
        if task is None or number is None:
            self.ledger.waiting -= 1
            connection.send(_response(404, _ERROR))
            return
        conversation, last = task[1], int(number[0])
        turn = last - int(conversation.split()[0])
        fault = self._fault(conversation, turn) if self._faults else None
        if fault is None:
            tokens = len(body) // 4
            answer = _response(200, _COMPLETION % (last + 1, tokens, tokens + 4))
            self._later(functools.partial(self._complete, connection, conversation, turn, answer))
            return
        self.ledger.faults[fault] += 1
        if fault == "stall":
            self._loop.call_later(self._stall_s, self._fail, connection, fault)
        else:
            self._later(functools.partial(self._fail, connection, fault))

    def _fault(self, conversation: bytes, turn: int) -> str | None:
        """The fault of this attempt at a turn, or None."""
        attempt = self.ledger.attempts[conversation, turn]
        self.ledger.attempts[conversation, turn] += 1
        name = b"%d/%s/%d/%d" % (self._seed, conversation, turn, attempt)
        draw = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") / 2**64
        return FAULTS[int(draw / self._faults * len(FAULTS))] if draw < self._faults else None

    def _later(self, answer: Callable[[], None]) -> None:
        """Answer after the latency. It is equal for all, so one timer and a queue serve every call."""
        due = self._loop.time() + self._latency_s
        self._due.append((due, answer))
        if len(self._due) == 1:
            self._loop.call_at(due, self._answer)

    def _answer(self) -> None:
        """Send all answers that are due, then wait for the next."""
        now = self._loop.time()
        while self._due and self._due[0][0] <= now:
            self._due[0][1]()  # may append, and must then find the queue running
            self._due.popleft()
        if self._due:
            self._loop.call_at(self._due[0][0], self._answer)

    def _complete(self, connection: Connection, conversation: bytes, turn: int, answer: bytes) -> None:
        self.ledger.waiting -= 1
        if connection.send(answer):
            self.ledger.complete(conversation, turn)
        else:
            self.ledger.abandoned += 1

    def _fail(self, connection: Connection, fault: str) -> None:
        self.ledger.waiting -= 1
        if fault.startswith("status_"):
            connection.send(_response(int(fault.removeprefix("status_")), _ERROR))
        elif fault == "garbage":
            connection.send(_response(200, _GARBAGE, b"text/html"))
        elif fault == "no_completion":
            connection.send(_response(200, b'{"status":"ok"}'))
        else:
            if fault == "truncated":
                whole = _response(200, _COMPLETION % (0, 0, 0))
                connection.send(whole[: len(whole) // 2])
            connection.close()


class Connection(asyncio.Protocol):
    """One keep-alive connection; it has at most one request in flight, as HTTP/1.1 clients do."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._transport: asyncio.Transport | None = None
        self._unread = b""
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Collect a request, and serve it when it is whole."""
        self._unread = self._unread + data if self._unread else data
        if not self._busy:
            self._serve()

    def send(self, answer: bytes) -> bool:
        """Answer the request in flight; False when the client is gone."""
        self._busy = False
        if self._transport is None or self._transport.is_closing():
            return False
        self._transport.write(answer)
        if self._unread:
            self._serve()
        return True

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def _serve(self) -> None:
        end = self._unread.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._unread, 0, end)
        whole = end + 4 + (int(length[1]) if length else 0)
        if len(self._unread) < whole:
            return
        request, self._unread = self._unread[:whole], self._unread[whole:]
        self._busy = True
        if request.startswith(b"POST"):
            self._service.post(self, request[end + 4 :])
        else:
            self.send(self._service.get(request.split(b" ", 2)[1]))


async def serve(arguments: argparse.Namespace) -> None:
    """Serve until standard input closes."""
    service = Service(arguments.latency, arguments.faults, arguments.seed, arguments.stall)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(service), "127.0.0.1", 0, backlog=_BACKLOG)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    async with server:
        await ended.wait()
        server.close()


@contextmanager
def endpoint(
    latency_s: float = 0.05, faults: float = 0.0, seed: int = 0, stall_s: float = 30.0
) -> Iterator[str]:
    """The base URL of an endpoint that lives as long as the block, in its own process on a free port."""
    command = [sys.executable, __file__, "--latency", str(latency_s), "--faults", str(faults)]
    command += ["--seed", str(seed), "--stall", str(stall_s)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError(f"the endpoint did not start: exit status {process.wait(10)}")
        yield url
    finally:
        process.stdin.close()
        process.stdout.close()
        process.terminate()
        process.wait(10)


def stats(url: str, path: str = "/stats") -> dict[str, Any]:
    """Counters of the endpoint with this base URL; `path="/reset"` clears them."""
    with urllib.request.urlopen(url.removesuffix("/v1") + path, timeout=30) as response:
        document: dict[str, Any] = json.load(response)
    return document


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds from a request to its answer")
    parser.add_argument("--faults", type=float, default=0.0, help="share of the calls that go wrong")
    parser.add_argument("--seed", type=int, default=0, help="decides which calls go wrong")
    parser.add_argument("--stall", type=float, default=30.0, help="seconds that a stalled call hangs")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
