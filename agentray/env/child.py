"""One environment in a process of its own, which may crash, leak or hang without harm to anyone else.

    python -m agentray.env.child

`agentray.rollout.hosting` starts it. One JSON object a line on stdin, one answer a line on stdout, no pickle:

    {"id": "shop", "entry_point": "agentray_shop:Shop", "kwargs": {}, "pythonpath": null}  ->  {}
    {"call": "reset", "seed": 7, "task": {...}}  ->  {"observation", "info"}
    {"call": "step", "reply": "..."}  ->  {"observation", "reward", "terminated", "truncated", "info"}
    {"call": "close"}  ->  {}

Whatever the environment raises is answered as `{"error": message, "type": name}`. It ends with its parent.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import TextIOWrapper
from typing import Any, BinaryIO

from agentray.env.base import TextEnvironment
from agentray.env.registry import build
from agentray.env.text import Game
from agentray.types import EnvSpec, Task

Answer = dict[str, Any]


def main() -> None:
    """Answer calls until the parent is gone."""
    calls, answers = _claim_pipes()
    threading.Thread(target=_follow_parent, args=(calls,), daemon=True).start()
    with suppress(BrokenPipeError), open(calls, "rb") as lines, open(answers, "wb") as out:
        _serve(lines, out)
    _end()


def _serve(lines: BinaryIO, out: BinaryIO) -> None:
    player: _Player | None = None
    for line in lines:
        try:
            message = json.loads(line)
            if player is None:
                player = _player(message)
                answer = _encode({})
            else:
                answer = _encode(player.answer(message))
        except Exception as problem:  # an environment may raise anything; the parent reports it
            answer = _encode({"error": str(problem), "type": type(problem).__name__})
        out.write(answer)
        out.flush()


class _Player:
    """Plays episodes of one environment, one after the other."""

    def __init__(self, environment: TextEnvironment) -> None:
        self._environment = environment
        self._env: Game | None = None

    def answer(self, message: dict[str, Any]) -> Answer:
        calls: Mapping[str, Callable[..., Answer]]
        calls = {"reset": self._reset, "step": self._step, "close": self._close}
        return calls[message.pop("call")](**message)

    def _reset(self, seed: int, task: Mapping[str, Any]) -> Answer:
        self._env = self._environment.make()
        observation, info = self._env.reset(seed=seed, options={"task": Task(**task)})
        return {"observation": observation, "info": info}

    def _step(self, reply: str) -> Answer:
        assert self._env is not None, "step() before reset()"
        observation, reward, terminated, truncated, info = self._env.step(reply)
        return {
            "observation": observation,
            "reward": float(reward),
            "terminated": bool(terminated),
            "truncated": bool(truncated),
            "info": info,
        }

    def _close(self) -> Answer:
        env, self._env = self._env, None
        if env is not None:
            env.close()
        return {}


def _player(spec: Mapping[str, Any]) -> _Player:
    """A player of the environment that the first line names."""
    # PYTHONPATH made this process import what its parent can; those the environment starts get the original.
    os.environ.pop("PYTHONPATH", None)
    if spec["pythonpath"] is not None:
        os.environ["PYTHONPATH"] = spec["pythonpath"]
    return _Player(build(EnvSpec(spec["id"], spec["entry_point"], spec["kwargs"])))


def _claim_pipes() -> tuple[int, int]:
    """Descriptors of calls and answers that no other process inherits; stdout becomes stderr."""
    calls, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what it prints before a crash is seen
    return calls, answers


def _follow_parent(calls: int) -> None:
    """End once the parent is gone, also in the middle of a call."""
    # Not PR_SET_PDEATHSIG: it follows the parent's thread, and spares the browser that this process started.
    hang_up = select.poll()
    hang_up.register(calls, 0)
    hang_up.poll()
    _end()


def _end() -> None:
    """Kill this process and those it started."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _encode(answer: Answer) -> bytes:
    """A line; `info` keeps what JSON can carry."""
    try:
        text = json.dumps(answer, default=_plain)
    except _NOT_JSON:
        info = {
            key: value for key, value in answer["info"].items() if isinstance(key, str) and _is_json(value)
        }
        text = json.dumps({**answer, "info": info}, default=_plain)
    return text.encode() + b"\n"


_NOT_JSON = (TypeError, ValueError, RecursionError)


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, default=_plain)
    except _NOT_JSON:
        return False
    return True


def _plain(value: Any) -> Any:
    """The Python value of a NumPy or torch scalar; arrays, such as a screenshot, stay behind."""
    if getattr(value, "ndim", None) != 0:
        raise TypeError(f"{type(value).__name__} is not JSON")
    return value.item()


if __name__ == "__main__":
    main()
