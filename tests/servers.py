"""A small endpoint of the tests' own on loopback, and a policy that asks it."""

import asyncio
import itertools
import re
import threading
from contextlib import asynccontextmanager, contextmanager

from aiohttp import web

from agentray.errors import UnavailableError
from agentray.policy.http import HttpPolicy
from agentray.types import Message, Sampling

TALK = (Message("user", "hello"),)


def ask(answers, *, models=("m",), key=None, model=None, tries=1, listing=None, timeout_s=5.0, **how):
    """Ask a server that gives `answers` (status, body) in turn; returns the last reply and what it was sent.

    A body of None is never sent; bytes are what is sent instead of an HTTP answer, before hanging up.
    """
    seen = []

    async def complete(request):
        seen.append((request.headers.get("Authorization"), await request.json()))
        status, body = answers[min(len(seen), len(answers)) - 1]
        if body is None:
            await asyncio.sleep(60)
        if isinstance(body, bytes):
            request.transport.write(body)
            request.transport.close()
        headers = {"Location": "/login", "Retry-After": "7"}
        if isinstance(body, dict):
            return web.json_response(body, status=status, headers=headers)
        return web.Response(text=str(body), status=status, headers=headers)

    async def listed(request):
        if listing:
            status, body = listing.pop(0)
            return web.Response(text=body, status=status)
        if key and request.headers.get("Authorization") != f"Bearer {key}":
            return web.Response(status=401)
        return web.json_response({"data": [{"id": each} for each in models]})

    async def talk():
        async with served(complete, listed) as url:
            policy = HttpPolicy(url, model, timeout_s=timeout_s, **how)
            try:
                await policy.ready()
                for left in reversed(range(tries)):
                    try:
                        return await policy.act(TALK, Sampling(seed=7), {})
                    except UnavailableError:
                        if not left:
                            raise
            finally:
                await policy.close()

    return asyncio.run(talk()), seen


@asynccontextmanager
async def served(complete, listed):
    """The base URL of a server with these two handlers."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    app.router.add_get("/v1/models", listed)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


def counted(body):
    """The right reply of the environment `count`."""
    numbers = re.findall(r"-?\d+", body["messages"][-1]["content"])
    return {
        "choices": [{"message": {"content": f"Action: {int(numbers[-1]) + 1}"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
    }


@contextmanager
def endpoint(answer, *, models=("m",), path="/v1", seen=None):
    """The base URL of a server in a thread that plays `count`.

    Args:
        answer: From the request's body, its number from 1 and its headers to a body, or a status and a body.
        models: What it lists: names, a whole document, or None for no list.
        path: Of the API.
        seen: List that takes method, path and headers of every request.
    """
    calls = itertools.count(1)

    async def chat(request):
        made = answer(await request.json(), next(calls))
        status, body, *headers = made if isinstance(made, tuple) else (200, made)
        return web.json_response(body, status=status, headers=headers[0] if headers else None)

    async def listing(request):
        if models is None:
            return web.Response(status=404, text="404 page not found")
        return web.json_response(
            {"data": [{"id": each} for each in models]} if isinstance(models, tuple) else models
        )

    @web.middleware
    async def noted(request, handler):
        if seen is not None:
            seen.append((request.method, str(request.rel_url), dict(request.headers)))
        return await handler(request)

    async def start():
        app = web.Application(middlewares=[noted])
        app.router.add_post(f"{path}/chat/completions", chat)
        app.router.add_get(f"{path}/models", listing)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}{path}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
