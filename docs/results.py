"""Writes the tables of docs/results.md from the files of benchmarks/results: `python docs/results.py`.

A table stands between `<!-- NAME -->` and `<!-- end -->`; a test keeps page and files equal. A file is what
its benchmark wrote, with the machine, the versions and the commit as far as it was known.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE.parent / "benchmarks" / "results"


def quickstart(report: Mapping[str, Any]) -> str:
    """Scores before and after, and where the time went, of a `report.json`."""
    rows = ["| | before | after | n |", "|---|---:|---:|---:|"]
    names = {"database": "unseen database tasks, plainly worded", "alfworld": "unseen household tasks"}
    for env, score in sorted(report["scores"].items(), reverse=True):
        low, high = (100 * bound for bound in score["after_interval"])
        after = f"**{score['after']:.0%}** ({low:.0f} to {high:.0f})"
        rows.append(f"| {names.get(env, env)} | {score['before']:.0%} | {after} | {score['n']} |")
    for pair in report["pairs"]:
        for score in pair["scores"].values():
            before, after = (score["extra"][side]["overall_cat_accuracy"] for side in ("before", "after"))
            rows.append(f"| {pair['label']} | {before:.0%} | {after:.0%} | {score['n']} |")
    before, after = (report["general"][f"{side}_nll"] for side in ("before", "after"))
    label = "loss on general conversations kept out of training"
    rows.append(f"| {label} | {before:.3f} | {after:.3f} ({after / before - 1:+.1%}) | |")
    rows += ["", "| stage | seconds |", "|---|---:|"]
    rows += [
        f"| {each['name']} | {each['wall_s']:.0f} |" for each in report["stages"] if each["wall_s"] >= 0.5
    ]
    rows.append(f"| in all | **{report['wall_s']:.0f}** |")
    memory = f"At most {report['peak_memory_bytes'] / 2**30:.1f} GiB of memory. "
    return "\n".join([*rows, "", memory + _made(report)])


def scale(document: Mapping[str, Any]) -> str:
    """Memory, time and speed of each stage."""
    rows = ["| stage | peak memory, MiB | seconds | MB/s |", "|---|---:|---:|---:|"]
    rows += [
        f"| {name} | {stage['peak_mib']:,.0f} | {stage['wall_s']:,.0f} | {stage['mb_per_s']:.1f} |"
        for name, stage in document["stages"].items()
    ]
    made = f"Measured on {document['machine']['num_cpus']} cores with other work on them."
    run = f"{document['trajectories']:,} trajectories, {document['run_bytes'] / 1e9:.1f} GB on disk. "
    return "\n".join([*rows, "", run + made])


TABLES: dict[str, Callable[[Mapping[str, Any]], str]] = {"quickstart": quickstart, "scale": scale}


def _made(document: Mapping[str, Any]) -> str:
    machine = document["machine"]
    return f"Commit `{document['commit'][:7]}`, {machine['num_cpus']} cores."


def render(page: str) -> str:
    """The page with its tables filled in."""

    def filled(match: re.Match[str]) -> str:
        name = match[1]
        document = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        return f"<!-- {name} -->\n{TABLES[name](document)}\n<!-- end -->"

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", filled, page, flags=re.S)


if __name__ == "__main__":
    place = HERE / "results.md"
    place.write_text(render(place.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {place}", file=sys.stderr)
