"""How long a report of many trajectories takes to write, and to open in a browser.

    python benchmarks/report.py --out report.json

Two runs of the same tasks are played in `count`, `database` and `alfworld`: by the experts with a few slips
(the tuned model), and by the experts with many (the base: refusals, repetitions, random actions). Every reply
has token ids and log-probabilities, by a tokenizer that is made for it; the log-probabilities are drawn. Then
`agentray report` runs on them in a process of its own, and headless Chromium opens the page from its file.

`usable_s` is from the start of the navigation until the list shows its first row; `filter_ms` until the list
shows another environment; `search_s` until a search for text that is nowhere has read every trajectory.
`longest_frame_ms` is the longest time between two frames while two seconds scroll the list through all rows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from agentray import manifest
from agentray.config import RolloutConfig
from agentray.data.store import write_shard
from agentray.env import TextEnvironment, build, resolve
from agentray.types import Message, Reply, Task, Trajectory, Turn, Usage

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from chromium import Page, browser, find_chromium

ENVS = ("alfworld", "count", "database")
SLIPS = {"base": 0.55, "tuned": 0.06}
_SHARD_ROWS = 512
_FRAMES = """new Promise((done) => {
  const list = document.getElementById("list");
  const end = list.scrollHeight - list.clientHeight, started = performance.now();
  let before = started, longest = 0;
  const step = (now) => {
    longest = Math.max(longest, now - before);
    before = now;
    list.scrollTop = end * Math.min(1, (now - started) / 2000);
    now - started < 2000 ? requestAnimationFrame(step) : done(longest);
  };
  requestAnimationFrame(step);
})"""
_USABLE = "document.querySelector('#list [role=option]') && performance.now() / 1000"


class Model:
    """The expert of an environment, which slips; the same seed slips at the same places."""

    def __init__(self, environment: TextEnvironment, task: Task, slips: float, rng: random.Random) -> None:
        self._environment, self._slips, self._rng = environment, slips, rng
        self._expert = environment.expert(task)
        self._last = ""

    def reply(self, conversation: list[Message], info: dict[str, Any]) -> str:
        """What it says next."""
        right = self._expert(conversation)
        slip = self._rng.random() / self._slips
        if slip < 0.15:
            self._last = "I'm sorry, but I cannot tell what to do next from what I have been shown so far."
        elif slip < 0.55:
            self._last = self._environment.random_reply(info, self._rng)
        elif slip >= 1 or not self._last:
            self._last = right
        return self._last  # from 0.55 to 1 it repeats itself


def play(environment: TextEnvironment, task: Task, seed: int, policy: str) -> Trajectory:
    """One attempt."""
    rng = random.Random(f"{policy} {task.id} {seed}")
    model = Model(environment, task, SLIPS[policy], rng)
    game = environment.make()
    observation, info = game.reset(seed=seed, options={"task": task})
    prompt = (*environment.instruction(task), Message("user", observation))
    conversation, turns, ended = list(prompt), [], False
    while not ended and len(turns) < environment.max_turns:
        text = model.reply(conversation, info)
        observation, reward, terminated, truncated, info = game.step(text)
        ended = terminated or truncated
        latency_s = round(rng.uniform(0.2, 1.4), 3)
        reply = Reply(text, finish_reason="stop", latency_s=latency_s)
        turns.append(Turn(reply, info.get("action"), "" if ended else observation, float(reward)))
        conversation += [Message("assistant", text, loss=True), Message("user", observation)]
    game.close()
    return Trajectory(
        task=task,
        prompt=prompt,
        turns=tuple(turns),
        reward=sum(turn.reward for turn in turns),
        status="completed" if ended else "truncated",
        sample=0,
        seed=seed,
        policy=policy,
        duration_s=sum(turn.reply.latency_s for turn in turns),
        metrics={name: float(value) for name, value in info.get("metrics", {}).items()},
        temperature=0.0,
    )


def tokenizer(texts: list[str], path: Path) -> Any:
    """A byte-level tokenizer of 2,000 pieces, made from texts and written to a file."""
    from tokenizers import ByteLevelBPETokenizer

    made = ByteLevelBPETokenizer()
    made.train_from_iterator(texts, vocab_size=2000, show_progress=False)
    made.save(str(path))
    return made


def sampled(trajectory: Trajectory, pieces: Any) -> Trajectory:
    """The trajectory as a model would have written it: with ids, log-probabilities and counts of tokens."""
    rng = random.Random(trajectory.key)
    turns, read = [], sum(len(message.content) for message in trajectory.prompt) // 4
    for turn in trajectory.turns:
        ids = tuple(pieces.encode(turn.reply.text).ids)
        logprobs = tuple(
            -abs(rng.gauss(0, 0.05)) if rng.random() < 0.85 else -rng.expovariate(0.8) for _ in ids
        )
        reply = replace(turn.reply, token_ids=ids, logprobs=logprobs, usage=Usage(read, len(ids)))
        turns.append(replace(turn, reply=reply))
        read += len(ids) + len(turn.observation) // 4
    return replace(trajectory, turns=tuple(turns))


def make_runs(out: Path, num_trajectories: int) -> list[Path]:
    """Directories of the base and the tuned run, half of the trajectories each."""
    per_env = num_trajectories // (2 * len(ENVS)) + 1
    tasks = [(env, task) for env in ENVS for task in islice(build(resolve(env)).tasks("test"), per_env)]
    tasks = tasks[: num_trajectories // 2]
    environments = {env: build(resolve(env)) for env in ENVS}
    played = {
        policy: [play(environments[env], task, seed, policy) for seed, (env, task) in enumerate(tasks)]
        for policy in SLIPS
    }
    texts = [turn.reply.text for each in played["tuned"][:: max(1, len(tasks) // 500)] for turn in each.turns]
    model = out / "model"
    model.mkdir(parents=True, exist_ok=True)
    pieces = tokenizer(texts, model / "tokenizer.json")
    return [
        _store(out / policy, [sampled(each, pieces) for each in made], model)
        for policy, made in played.items()
    ]


def _store(directory: Path, trajectories: list[Trajectory], model: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for number, shard in enumerate(_slices(trajectories)):
        write_shard(directory / f"shard-{number:06d}.parquet", shard)
    config = RolloutConfig(
        envs=list(ENVS), split="test", num_tasks=len(trajectories) // 3, policy=str(model), out=directory
    )
    wall_s = sum(each.duration_s for each in trajectories) / 64
    manifest.write(directory, manifest.Manifest("rollout", config.model_dump(mode="json"), {}, wall_s=wall_s))
    return directory


def _slices(trajectories: list[Trajectory]) -> Iterator[list[Trajectory]]:
    for start in range(0, len(trajectories), _SHARD_ROWS):
        yield trajectories[start : start + _SHARD_ROWS]


def write(runs: list[Path], out: Path) -> float:
    """Seconds that `agentray report` takes, its start included."""
    started = time.monotonic()
    command = [sys.executable, "-m", "agentray", "report", *map(str, runs), "--out", str(out)]
    subprocess.run(command, check=True, timeout=600, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


async def measure(page: Page, path: Path) -> dict[str, float]:
    """Open the page once and use it."""
    await page.look()
    await page.open(path)
    found = {"usable_s": await page.until(_USABLE)}
    started = time.monotonic()
    choose = "document.getElementById('filter-env').value = 'database'"
    await page.evaluate(f"{choose}; document.getElementById('filter-env').dispatchEvent(new Event('input'))")
    await page.until("document.querySelector('#list .under').textContent.startsWith('database')")
    found["filter_ms"] = 1000 * (time.monotonic() - started)
    await page.evaluate("document.getElementById('filter-clear').click()")
    found["longest_frame_ms"] = await page.evaluate(_FRAMES)
    started = time.monotonic()
    await page.evaluate("document.getElementById('filter-query').focus()")
    await page.type("text that is nowhere")
    await page.until(
        "document.getElementById('status').textContent.startsWith('0 of') "
        "&& !document.getElementById('status').textContent.includes('searching')"
    )
    found["search_s"] = time.monotonic() - started
    return found


async def opened(path: Path, repeats: int) -> list[dict[str, float]]:
    """What a fresh browser measures; the first opening is warm-up and not among them."""
    program = find_chromium()
    if program is None:
        raise SystemExit("chromium is not installed: apt-get install chromium")
    async with browser(program) as page:
        return [await measure(page, path) for _ in range(repeats + 1)][1:]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--runs", type=Path, help="keep runs and page here; made once")
    parser.add_argument("--trajectories", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agentray-report-") as temporary:
        root = given.runs or Path(temporary)
        runs = [root / "base", root / "tuned"]
        if not all(map(manifest.is_complete, runs)):
            runs = make_runs(root, given.trajectories)
        written = [write(runs, root / "report") for _ in range(given.repeats)]
        path = root / "report" / "report.html"
        used = asyncio.run(opened(path, given.repeats))
        page_bytes = path.stat().st_size
    repeats = {"write_s": written, **{name: [each[name] for each in used] for name in used[0]}}
    document = {
        "trajectories": given.trajectories,
        "page_bytes": page_bytes,
        "median": {name: statistics.median(values) for name, values in repeats.items()},
        "repeats": repeats,
        "machine": manifest.machine(),
        "versions": manifest.versions(),
        "commit": manifest.commit(),
    }
    given.out.write_text(json.dumps(document, indent=1), encoding="utf-8")
    print(json.dumps({"page_bytes": page_bytes, **document["median"]}, indent=1))


if __name__ == "__main__":
    main()
