"""An OpenAI-compatible server on loopback, for tests that need a real HTTP exchange."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[list[dict[str, str]]], str]
"""From the messages of a chat to the reply."""


@contextmanager
def served(
    answer: Answer, complete: Callable[[dict[str, Any]], Any] = lambda request: {}
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The base URL of an endpoint, and the requests it has had so far.

    Args:
        answer: To chats.
        complete: To `/completions`: from the request to the whole answer.
    """
    requests: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send({"data": [{"id": "scripted"}]})

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            requests.append(request | {"key": self.headers.get("Authorization")})
            if "messages" not in request:
                self._send(complete(request))
                return
            message = {"role": "assistant", "content": answer(request["messages"])}
            self._send({"choices": [{"message": message, "finish_reason": "stop"}]})

        def _send(self, document: Any) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
