"""A small endpoint of the tests' own on loopback, and a policy that asks it."""

import asyncio
from contextlib import asynccontextmanager

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
                        return await policy.act(TALK, Sampling(seed=7))
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
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()
