"""Small real implementations of the seams: a tokenizer, policies, trajectories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agentray import manifest
from agentray.data.store import write_shard
from agentray.errors import PolicyError
from agentray.policy import BasePolicy
from agentray.types import Message, Reply, Sampling, Task, Trajectory, Turn

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


CONTROL = ("<|im_start|>", "<|im_end|>")
"""Control tokens of ChatML; the second ends a turn."""


def byte_tokenizer(
    template: Any = CHATML, *, control: Sequence[str] = CONTROL, pairs: Sequence[str] = (), **names: str
) -> Any:
    """A `transformers` tokenizer with one id per byte, per control token and per pair of letters."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *pairs]
    merges = [(pair[0], pair[1]) for pair in pairs]
    inner = Tokenizer(models.BPE(vocab={each: index for index, each in enumerate(vocabulary)}, merges=merges))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken(each, special=True, normalized=False) for each in control])
    named = {"eos_token": control[-1], "pad_token": control[-1]} | names if control else names
    return PreTrainedTokenizerFast(tokenizer_object=inner, chat_template=template, **named)


class ScriptedPolicy(BasePolicy):
    """Says the given replies, then raises."""

    def __init__(self, *replies: str | Exception) -> None:
        super().__init__()
        self._replies = list(replies)
        self.seen: list[tuple[Message, ...]] = []

    async def act(self, messages: Sequence[Message], sampling: Sampling, info: Mapping[str, Any]) -> Reply:
        self.seen.append(tuple(messages))
        if not self._replies:
            raise PolicyError("no reply is left", "the script is over", "write a longer one")
        reply = self._replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return Reply(reply, finish_reason="stop")


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


def mixed_corpus(directory: Path, sources: Mapping[str, Sequence[Any]], **changes: Any) -> Path:
    """The finished output of a mix: all samples for training, all sources on the agent side, η = 1."""
    from agentray.mix.corpus import MIXTURE, ROWS, VERSION
    from agentray.mix.rows import RowWriter

    (directory / ROWS).mkdir(parents=True)
    document: dict[str, Any] = {
        "version": VERSION,
        "eta": 1.0,
        "seed": 0,
        "tokenizer": "",
        "chat_template": None,
        "agent": list(sources),
        "weights": {},
        "sources": {},
    }
    for number, (name, samples) in enumerate(sources.items()):
        writer = RowWriter(directory / ROWS, f"{number:03d}")
        for sample in samples:
            writer.add(sample)
        writer.close()
        largest = max(int(each.input_ids.max()) for each in samples)
        source = {"files": writer.files, "prefix_length": 0, "largest_id": largest, "validation": []}
        document["sources"][name] = source
    manifest.write_json(directory / MIXTURE, document | changes)
    manifest.write(directory, manifest.Manifest("mix", {}, {}))
    return directory
