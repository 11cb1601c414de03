"""Small real implementations of the seams: a tokenizer, policies, trajectories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agentray import manifest
from agentray.data.store import write_shard
from agentray.errors import PolicyError
from agentray.types import Message, Reply, Sampling, Task, Trajectory, Turn

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class CharTokenizer:
    """One id per character, and the ChatML control tokens."""

    eos_token = "<|im_end|>"
    control = ("<|im_start|>", "<|im_end|>")

    def apply_chat_template(
        self, conversation: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> str:
        assert not tokenize
        text = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in conversation)
        return text + ("<|im_start|>assistant\n" if add_generation_prompt else "")

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        ids = []
        while text:
            found = next((token for token in self.control if text.startswith(token)), None)
            ids.append(self.control.index(found) if found else ord(text[0]) + len(self.control))
            text = text[len(found) if found else 1 :]
        return ids

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        first = len(self.control)
        return "".join(self.control[i] if i < first else chr(i - first) for i in token_ids)


class ScriptedPolicy:
    """Says the given replies, then raises."""

    def __init__(self, *replies: str | Exception) -> None:
        self._replies = list(replies)
        self.seen: list[tuple[Message, ...]] = []

    async def ready(self) -> None:
        pass

    async def act(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        self.seen.append(tuple(messages))
        if not self._replies:
            raise PolicyError("no reply is left", "the script is over", "write a longer one")
        reply = self._replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return Reply(reply, finish_reason="stop")

    async def close(self) -> None:
        pass


def trajectory(index: int = 0, **changes: Any) -> Trajectory:
    """A won counting game of two turns."""
    task = Task("count", f"train/{index}", "train", {"start": index, "goal": index + 2}, f"{index:016x}")
    turns = (
        Turn(Reply("Action: 1", (1, 2), (-0.5, -0.25)), "1", "Last number: 1"),
        Turn(Reply("Action: 2", None), "2", "", 1.0),
    )
    values: dict[str, Any] = {
        "task": task,
        "prompt": (Message("user", "Count."), Message("assistant", "Ok."), Message("user", "From 0 to 2.")),
        "turns": turns,
        "reward": 1.0,
        "status": "completed",
        "sample": 0,
        "seed": index,
        "policy": "expert",
        "duration_s": 0.5,
        "metrics": {"success_count": 1.0},
    }
    return Trajectory(**(values | changes))


def stored_run(
    directory: Path, trajectories: Iterable[Trajectory], env: Mapping[str, Any] | None = None
) -> Path:
    """A finished run of these attempts, made with these environment settings."""
    directory.mkdir(parents=True)
    write_shard(directory / "shard-000000.parquet", list(trajectories))
    manifest.write(directory, manifest.Manifest("rollout", {"env": dict(env or {})}, {}))
    return directory
