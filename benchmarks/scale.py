"""What each stage needs for a million trajectories: memory, time and bytes a second.

    python benchmarks/scale.py --out scale.json --num 100000 filter

A run of `--num` trajectories of about 1,000 tokens is written first: five turns of random words, as frequent
as words are, in several environments; replies have token ids and log-probabilities, and one attempt in ten
failed, was cut off or earned nothing. The same number always gives the same run. `mix` gets a run of text
alone (ids that are not those of the text it would refuse), for whose words its tokenizer needs 2,300 tokens.
Each stage works in a process of its own. `peak_mib` is the most resident memory that the process and those it
started had at once, in MiB, with what they share counted for each; `mb_per_s` is the size of the run on disk,
in 10^6 bytes, over the stage's time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agentray import manifest
from agentray.data.records import SCHEMA_VERSION, table
from agentray.data.shards import ShardWriter
from agentray.env import names

sys.path.insert(0, str(Path(__file__).resolve().parent))
from processes import TreeSampler

ENVS = [name for name in ("alfworld", "count", "database") if name in names()]
NUM_TURNS = 5
RULES, QUESTION, SAID, SEEN = 120, 60, 60, 50
"""Words of the instruction that an environment's tasks share, of a task, of a reply, of an observation."""
TOKENS_PER_WORD = 1.3
_BATCH = 512


def filtered(run: Path, out: Path) -> Any:
    """Keep what earned its reward."""
    from agentray.config import FilterConfig
    from agentray.transforms.filtering import run as filter_run

    return filter_run(FilterConfig(runs=[run], out=out, min_reward=1.0))


def mixed(run: Path, out: Path) -> Any:
    """Tokenize all of it for training."""
    from agentray.config import MixConfig, Source
    from agentray.mix.run import run as mix

    return mix(MixConfig(sources=[Source(path=run)], eta=1, model=MODEL, max_length=4096, out=out))


def evaluated(run: Path, out: Path) -> Any:
    """Score its attempts."""
    from agentray.evaluate.score import read_scores

    return read_scores(run)


def reported(run: Path, out: Path) -> Any:
    """Show it on a page."""
    from agentray.config import ReportConfig
    from agentray.report.run import run as report

    return report(ReportConfig(runs=[run], out=out))


MODEL = "smollm2-135m"
"""Whose tokenizer and chat template `mix` uses."""
STAGES: dict[str, Callable[[Path, Path], Any]] = {
    "filter": filtered,
    "mix": mixed,
    "evaluate": evaluated,
    "report": reported,
}
"""Each gets the generated run and a directory for its output, and returns its summary."""
TEXT_ALONE = {"mix"}
"""Stages whose run has no token ids."""


class Words:
    """Text of made-up words, drawn as often as the words of a language are (Zipf's law)."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        letters = np.array(list("etaoinshrdlucmfwypvbgk"))
        lengths = self._rng.integers(2, 10, 30_000)
        vocabulary = ["".join(self._rng.choice(letters, length)) for length in lengths]
        chances = 1.0 / np.arange(10, len(vocabulary) + 10)
        drawn = self._rng.choice(len(vocabulary), 4_000_000, p=chances / chances.sum())
        self._stream = [vocabulary[each] for each in drawn.tolist()]

    def text(self, num_words: int) -> str:
        """Some words in a row."""
        start = int(self._rng.integers(len(self._stream) - num_words))
        return " ".join(self._stream[start : start + num_words])

    def ids(self, num_tokens: int) -> tuple[list[int], list[float]]:
        """Token ids and log-probabilities."""
        ids = self._rng.integers(0, 50_000, num_tokens)
        return ids.tolist(), (-self._rng.exponential(0.5, num_tokens)).astype(np.float32).tolist()

    def fate(self, index: int) -> tuple[str, float | None]:
        """Status and reward of an attempt; nine in ten are won."""
        lost: Sequence[tuple[str, float | None]] = [("failed", None), ("truncated", 0.0), ("completed", 0.0)]
        return lost[index // 10 % len(lost)] if index % 10 == 9 else ("completed", 1.0)


def rows(num: int, *, sampled: bool) -> Iterator[dict[str, Any]]:
    """Rows of the generated run, with token ids or without."""
    words = Words(7)
    rules = {env: words.text(RULES) for env in ENVS}
    for index in range(num):
        env, (status, reward) = ENVS[index % len(ENVS)], words.fate(index)
        question = words.text(QUESTION)
        yield {
            "schema_version": SCHEMA_VERSION,
            "key": f"{env}:train/{index}#0@model",
            "env": env,
            "task_id": f"train/{index}",
            "split": "train",
            "fingerprint": f"{index:016x}",
            "task_data": json.dumps({"question": question}),
            "prompt": [
                {"role": "user", "content": rules[env], "loss": False},
                {"role": "assistant", "content": "Ok.", "loss": False},
                {"role": "user", "content": question, "loss": False},
            ],
            "turns": [turn(words, number, reward, sampled) for number in range(NUM_TURNS)]
            if reward is not None
            else [],
            "reward": reward,
            "status": status,
            "sample": 0,
            "seed": index,
            "policy": "model",
            "temperature": 1.0,
            "duration_s": 10.0,
            "error": "the endpoint was down" if status == "failed" else None,
            "metrics": json.dumps({"success": reward or 0.0}),
        }


def turn(words: Words, number: int, reward: float | None, sampled: bool) -> dict[str, Any]:
    """A turn of the generated run."""
    ids, logprobs = words.ids(int(SAID * TOKENS_PER_WORD))
    over = number == NUM_TURNS - 1
    return {
        "text": f"Thought: {words.text(SAID)}\nAction: {number}",
        "token_ids": ids if sampled else None,
        "logprobs": logprobs if sampled else None,
        "prompt_tokens": 300 + 150 * number,
        "completion_tokens": len(ids),
        "finish_reason": "stop",
        "latency_s": 1.0,
        "prefix_kept": True,
        "action": str(number),
        "observation": "" if over else words.text(SEEN),
        "reward": reward if over else 0.0,
        "state": f"{number:016x}",
    }


def generate(directory: Path, num: int, *, sampled: bool) -> None:
    """Write the run, unless it is there."""
    if manifest.is_complete(directory):
        return
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    made, batch = rows(num, sampled=sampled), []
    with ShardWriter(directory) as writer:
        for row in made:
            batch.append(row)
            if len(batch) == _BATCH:
                writer.add(table(batch))
                batch = []
        if batch:
            writer.add(table(batch))
    manifest.write(directory, manifest.Manifest("rollout", {"env": {}}, {"planned": num}))


def measured(stage: str, run: Path, out: Path) -> dict[str, Any]:
    """Run a stage in a process of its own, and watch it."""
    command = [sys.executable, __file__, "--child", stage, str(run), str(out)]
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        sampler = TreeSampler(child.pid)
        sampler.start()
        printed, _ = child.communicate()
        sampler.stop()
    wall_s = time.monotonic() - started
    if child.returncode:
        raise SystemExit(f"{stage} ended with code {child.returncode}")
    return {
        "peak_mib": round(sampler.max_rss_bytes / 2**20, 1),
        "wall_s": round(wall_s, 2),
        "run_bytes": size_bytes(run),
        "mb_per_s": round(size_bytes(run) / 1e6 / wall_s, 2),
        "summary": json.loads(printed.splitlines()[-1]),
    }


def size_bytes(directory: Path) -> int:
    """Size of the files in a directory."""
    return sum(each.stat().st_size for each in directory.rglob("*") if each.is_file())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stages", nargs="*", default=list(STAGES), help=f"of {', '.join(STAGES)}")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--num", type=int, default=1_000_000, help="trajectories")
    parser.add_argument("--data", type=Path, help="keep the generated run here; made once")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        from dataclasses import asdict

        stage, run, out = given.child
        print(json.dumps(asdict(STAGES[stage](Path(run), Path(out))), default=str))
        return
    with tempfile.TemporaryDirectory(prefix="agentray-scale-") as temporary:
        root = given.data or Path(temporary)
        document: dict[str, Any] = {
            "trajectories": given.num,
            "stages": {},
            "machine": manifest.machine(),
            "versions": manifest.versions(),
            "commit": manifest.commit(),
        }
        for stage in given.stages:
            run = root / f"run-{given.num}{'-text' if stage in TEXT_ALONE else ''}"
            generate(run, given.num, sampled=stage not in TEXT_ALONE)
            document["stages"][stage] = measured(stage, run, Path(temporary) / stage)
            shutil.rmtree(Path(temporary) / stage, ignore_errors=True)
    text = json.dumps(document, indent=1)
    if given.out:
        given.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
