"""What finding test text in training text costs: ours beside a set of ten-word tuples in plain Python.

    python benchmarks/contamination.py --out contamination.json

The text is generated from a seed: words drawn by Zipf's law, in records of one JSON line; into some of them
a passage of a test example is copied, with up to six of its words replaced. Every side reads the same file in
a process of its own, on one core, without Ray; `ray` is the whole stage with two CPUs, Ray's start included.
Held equal: the file, the JSON parser, the words, and, with budget 0, the result, which is compared example by
example or nothing is written. Not equal: the set does not say where a match lies and allows no mismatches. It
holds the test side, as ours does: one of the training side's tuples would take many times the memory. Speed
per core is per second of CPU time, which other work on the machine changes little.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from processes import TreeSampler

from agentray import manifest
from agentray.config import ContaminationConfig
from agentray.contamination.parse import parse_source
from agentray.contamination.search import Search, read_examples
from agentray.contamination.spans import build_index
from agentray.contamination.tokens import WordTokenizer

LENGTH = 10
_NUM_EXAMPLES, _EXAMPLE_WORDS = 1000, 100
_RECORD_WORDS = 200
_PLANTED = 0.02
"""Share of the training records that hold a passage of a test example."""
_PASSAGE_WORDS = 40
_VOCABULARY = 50_000
_CHUNK_RECORDS = 20_000
_RUN_TIMEOUT_S = 150.0
_WORD = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]")


def generate(directory: Path, num_bytes: int, seed: int) -> None:
    """Write `train.jsonl` of about `num_bytes` and `test.jsonl`."""
    random = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    sizes = random.integers(2, 11, _VOCABULARY)
    words = np.array(["".join(random.choice(letters, size)) for size in sizes])
    chances = np.cumsum(1 / np.arange(1, _VOCABULARY + 1))

    def draw(*shape: int) -> Any:
        return np.minimum(np.searchsorted(chances, random.random(shape) * chances[-1]), _VOCABULARY - 1)

    examples = draw(_NUM_EXAMPLES, _EXAMPLE_WORDS)
    _write(directory / "test.jsonl", words, examples, "w")
    path, written = directory / "train.jsonl", 0
    path.unlink(missing_ok=True)
    while written < num_bytes:
        records = draw(_CHUNK_RECORDS, _RECORD_WORDS)
        for row in np.flatnonzero(random.random(_CHUNK_RECORDS) < _PLANTED):
            start = random.integers(_EXAMPLE_WORDS - _PASSAGE_WORDS)
            passage = examples[random.integers(_NUM_EXAMPLES), start : start + _PASSAGE_WORDS].copy()
            passage[random.integers(_PASSAGE_WORDS, size=random.integers(7))] = draw(1)
            place = random.integers(_RECORD_WORDS - _PASSAGE_WORDS)
            records[row, place : place + _PASSAGE_WORDS] = passage
        _write(path, words, records, "a")
        written = path.stat().st_size


def _write(path: Path, words: Any, records: Any, mode: str) -> None:
    with path.open(mode, encoding="ascii") as stream:
        for row in words[records].tolist():
            stream.write(json.dumps({"text": " ".join(row).capitalize() + "."}) + "\n")


def ours(directory: Path, budget: int) -> list[int]:
    """Contaminated tokens of each example, by our search, part after part."""
    train, test = (parse_source(str(directory / f"{side}.jsonl"), 1, {}) for side in ("train", "test"))
    tokenizer = WordTokenizer()
    examples = read_examples([test], tokenizer)
    parts = [(train, part) for part in train.parts()]
    search = Search(build_index(examples.tokens, LENGTH, budget), tokenizer, parts, frozenset())
    flags = np.zeros(len(examples.tokens.starts), np.bool_)
    for number in range(len(parts)):
        for hit in search(number).hits:
            flags[hit.start : hit.stop] = True
    return np.add.reduceat(flags, examples.sets[0].bounds[:-1], dtype=int).tolist()


def plain(directory: Path, budget: int) -> list[int]:
    """The same with a set of tuples; only without mismatches."""
    assert budget == 0
    examples = [_WORD.findall(text.lower()) for text in _texts(directory / "test.jsonl")]
    wanted = {gram for tokens in examples for gram in _grams(tokens)}
    found: set[tuple[str, ...]] = set()
    for text in _texts(directory / "train.jsonl"):
        found.update(gram for gram in _grams(_WORD.findall(text.lower())) if gram in wanted)
    return [_covered(tokens, found) for tokens in examples]


def _texts(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)["text"]


def _grams(tokens: list[str]) -> Iterator[tuple[str, ...]]:
    return zip(*(tokens[start:] for start in range(LENGTH)), strict=False)


def _covered(tokens: list[str], found: set[tuple[str, ...]]) -> int:
    marks: set[int] = set()
    for start, gram in enumerate(_grams(tokens)):
        if gram in found:
            marks.update(range(start, start + LENGTH))
    return len(marks)


def ray_stage(directory: Path, budget: int) -> list[int]:
    """The whole stage on a local Ray of two CPUs."""
    import ray

    from agentray.contamination.run import run

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    config = ContaminationConfig(
        train=[str(directory / "train.jsonl")], test=[str(directory / "test.jsonl")], budget=budget
    )
    (overlap,) = run(config).overlaps
    ray.shutdown()
    return [overlap.num_contaminated_tokens]


SIDES: dict[str, Callable[[Path, int], list[int]]] = {"ours": ours, "plain": plain, "ray": ray_stage}


def play(side: str, directory: Path, budget: int) -> None:
    """One side in this process; prints what it found and what it took."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    counts = SIDES[side](directory, budget)
    wall_s = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "counts": counts,
        "wall_s": wall_s,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_memory_mb": _peak_memory_mb(),
    }
    print(json.dumps(figures))


def _peak_memory_mb() -> float:
    """Of this process; `ru_maxrss` would take over that of the process which started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def measure(side: str, directory: Path, budget: int, num_bytes: int) -> dict[str, Any]:
    """Figures of one side, in a fresh process."""
    command = [sys.executable, __file__, "--side", side, "--data", str(directory), "--budget", str(budget)]
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        sampler = TreeSampler(process.pid)
        sampler.start()
        try:
            printed, _ = process.communicate(timeout=_RUN_TIMEOUT_S)
        finally:
            process.kill()
            sampler.stop()
    figures: dict[str, Any] = json.loads(printed.splitlines()[-1])
    if side == "ray":  # its work is done in other processes
        cpu_s = sampler.cpu_s(started, time.monotonic())
        figures |= {"cpu_s": cpu_s, "peak_memory_mb": sampler.max_rss_bytes / 2**20}
    speeds = {"mb_per_s": figures["wall_s"], "mb_per_cpu_s": figures["cpu_s"]}
    return figures | {name: num_bytes / 1e6 / seconds for name, seconds in speeds.items()}


def main() -> None:
    """Command line: generate the text, let every side play, compare, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--budget", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        play(arguments.side, arguments.data, arguments.budget)
        return
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        generate(directory, arguments.megabytes * 1_000_000, arguments.seed)
        report = compare(directory, arguments.repeats)
    report |= {"megabytes": arguments.megabytes, "seed": arguments.seed, "commit": manifest.commit()}
    report |= {"machine": manifest.machine(), "versions": manifest.versions()}
    if arguments.out:
        manifest.write_json(arguments.out, report)
    print(json.dumps(report["sides"], indent=1))


def compare(directory: Path, repeats: int) -> dict[str, Any]:
    """Interleaved repeats of every side; the results have to agree."""
    num_bytes = (directory / "train.jsonl").stat().st_size
    contestants = {
        "ours": ("ours", 0),
        "ours_budget_4": ("ours", 4),
        "plain": ("plain", 0),
        "ray": ("ray", 4),
    }
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, (side, budget) in contestants.items():
            figures = measure(side, directory, budget, num_bytes)
            runs[name].append(figures)
            print(name, {key: value for key, value in figures.items() if key != "counts"}, file=sys.stderr)
    counts = {name: [each.pop("counts") for each in rows] for name, rows in runs.items()}
    assert all(each == counts["plain"][0] for each in (*counts["plain"], *counts["ours"])), "results differ"
    assert all(each == [sum(counts["ours_budget_4"][0])] for each in counts["ray"]), "Ray changes the result"
    return {
        "num_bytes": num_bytes,
        "contaminated_tokens": {name: sum(rows[0]) for name, rows in counts.items()},
        "sides": {name: _summary(rows) for name, rows in runs.items()},
    }


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    summary: dict[str, Any] = {"peak_memory_mb": max(row["peak_memory_mb"] for row in rows)}
    for name in ("mb_per_cpu_s", "mb_per_s"):
        values = sorted(row[name] for row in rows)
        summary[name] = {"median": statistics.median(values), "spread": [values[0], values[-1]]}
    return {**summary, "repeats": rows}


if __name__ == "__main__":
    main()
