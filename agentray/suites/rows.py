"""The rows of a suite's result: one of our benchmarks, or a name of lm-eval, from its data to its score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from agentray.config import SuiteConfig
from agentray.errors import UsageError
from agentray.evaluate.stats import bootstrap_interval, mean_interval
from agentray.suites.asking import ask
from agentray.suites.benchmark import Answer, AskedBy, Benchmark, QuestionSet
from agentray.suites.likelihood import Likelihoods, lm_eval_missing
from agentray.suites.reading import missing
from agentray.suites.respondents import of_model
from agentray.types import Progress

_Z95 = 1.96
_Results = dict[str, dict[str, Any]]


class Row(Protocol):
    """One benchmark of a run."""

    name: str
    """Under which it is reported."""
    asked_by: AskedBy

    def skipped(self) -> str | None:
        """Why it cannot be run here, and what would mend that; None when it can."""

    def prepare(self, config: SuiteConfig, directory: Path) -> None:
        """Read its data.

        Raises:
            AgentrayError: A file is missing, or its content cannot be used.
        """

    def answer(self, config: SuiteConfig, likelihoods: Likelihoods, progress: Progress) -> _Results:
        """Ask what is not stored yet, and grade."""


class Ours:
    """A registered benchmark."""

    def __init__(self, name: str, benchmark: Benchmark) -> None:
        self.name, self.asked_by = name, benchmark.asked_by
        self._benchmark = benchmark

    def skipped(self) -> str | None:
        """The benchmark's own reason, or that nothing measures likelihoods."""
        return self._benchmark.skipped() or (lm_eval_missing() if self.asked_by == "likelihood" else None)

    def prepare(self, config: SuiteConfig, directory: Path) -> None:
        """Read the benchmark's questions from its folder of the data directory."""
        benchmark, self._directory = self._benchmark, directory
        folder = (config.data or Path()) / benchmark.name
        if benchmark.files is not None and config.data is None:
            raise UsageError(
                f"no data for {benchmark.name}",
                f"it needs {benchmark.files}",
                f"put them into DIR/{benchmark.name} and give --data DIR",
            )
        if benchmark.files is not None and not folder.is_dir():
            raise missing(folder, benchmark.name, benchmark.files)
        self._found: QuestionSet = benchmark.questions(folder, config.seed)

    def answer(self, config: SuiteConfig, likelihoods: Likelihoods, progress: Progress) -> _Results:
        """Ask by rollouts or log-likelihoods, and grade."""
        questions = self._found.questions[: config.num_tasks]
        excluded, errors = [*self._found.excluded], list[str]()
        if self.asked_by == "likelihood":
            file = self._directory / "likelihoods.jsonl"
            answers, too_long = likelihoods.answers(
                questions, file, lambda done: progress(done, len(questions))
            )
            excluded += too_long
        else:
            how = of_model(config, self._directory, self._benchmark.max_tokens, self._benchmark.samples)
            answers, errors = ask(questions, how, progress)
        return {self.name: self._graded(answers, errors, excluded)}

    def _graded(
        self, answers: Sequence[Answer], errors: Sequence[str], excluded: Sequence[str]
    ) -> dict[str, Any]:
        truncated = sum(each.truncated for each in answers)
        row = _row(self._benchmark.scale, len(errors), truncated, errors, excluded)
        if not answers:
            return row
        grades = self._benchmark.grade(answers)
        if grades.values:
            row |= {
                "score": sum(grades.values) / len(grades.values),
                "n": len(grades.values),
                "interval": interval(grades.values, self._benchmark.scale),
            }
        return {**row, **grades.extra}


class Harness:
    """A task, group or tag of lm-eval.

    Args:
        name: Under which it is reported.
        task: lm-eval's name.
        num_fewshot: Worked examples; None takes the task's own, and lm-eval's scale. With a number it is one
            of the paper's benchmarks, whose score is a percentage.
    """

    def __init__(self, name: str, task: str, num_fewshot: int | None) -> None:
        self.name, self._task, self._num_fewshot = name, task, num_fewshot
        self.asked_by: AskedBy = "likelihood"

    def skipped(self) -> str | None:
        """That lm-eval is not installed."""
        return lm_eval_missing()

    def prepare(self, config: SuiteConfig, directory: Path) -> None:
        """Load the tasks and their documents."""
        from agentray.suites.harness import load

        self._loaded, self._directory = load(self._task, config.data, self._num_fewshot), directory
        if any(each.OUTPUT_TYPE == "generate_until" for each in self._loaded.tasks.values()):
            self.asked_by = "reply"

    def answer(self, config: SuiteConfig, likelihoods: Likelihoods, progress: Progress) -> _Results:
        """Let lm-eval ask and score."""
        from agentray.suites.answering import Answering
        from agentray.suites.harness import score

        model = Answering(config, self._directory, likelihoods, progress)
        spread = config.num_tasks and math.ceil(config.num_tasks / len(self._loaded.tasks))
        document = score(self._loaded, model, spread)
        whole = document["results"].get(self._task, {})
        named = {self.name: self._task} if _metrics(whole) else {each: each for each in self._loaded.tasks}
        found = {}
        for row, task in named.items():
            under = [each for each in self._loaded.tasks if task in (each, self._task)]
            failed = sum(len(model.failed[each]) for each in under) - len(model.excluded)
            found[row] = _row("", max(0, failed), model.truncated, model.errors, model.excluded)
            found[row] |= self._scored(document, task, under)
        return found

    def _scored(self, document: Mapping[str, Any], task: str, under: Sequence[str]) -> dict[str, Any]:
        """Score, interval and all metrics of a task or group."""
        results = document["results"]
        metrics = _metrics(results[task])
        percent = 100.0 if self._num_fewshot is not None else 1.0
        shots = {document["n-shot"].get(each) for each in under}
        row: dict[str, Any] = {
            "metrics": metrics,
            "num_fewshot": shots.pop() if len(shots) == 1 else None,
            "version": document["versions"].get(task),
        }
        if under != [task]:
            scores = {each: next(iter(_metrics(results[each]).values()), None) for each in under}
            row["subtasks"] = {
                each: None if score is None else percent * score for each, score in scores.items()
            }
        if not metrics:
            return row
        metric, value = next(iter(metrics.items()))
        name, _, filtered = metric.partition(",")
        stderr = results[task].get(f"{name}_stderr,{filtered}")
        stderr = stderr if _is_number(stderr) else None
        n = sum(document["n-samples"][each]["effective"] for each in under)
        row |= {"metric": metric, "stderr": None if stderr is None else percent * stderr, "n": n}
        if self._num_fewshot is not None:
            right = round(value * n)
            row["interval"] = interval([100.0] * right + [0.0] * (n - right), "0-100")
            return row | {"score": percent * value, "scale": "0-100"}
        better = document["higher_is_better"].get(task, {}).get(name)
        # Equal values have no standard error, which is not to say that the score is exact.
        between = [value - _Z95 * stderr, value + _Z95 * stderr] if stderr else None
        scale = f"{name}, {'lower' if better is False else 'higher'} is better"
        return row | {"score": value, "scale": scale, "interval": between}


def _row(
    scale: str, failed: int, truncated: int, errors: Sequence[str], excluded: Sequence[str]
) -> dict[str, Any]:
    """What every row has, before anything is scored."""
    row: dict[str, Any] = {
        "score": None,
        "scale": scale,
        "n": 0,
        "failed": failed,
        "interval": None,
        "truncated": truncated,
    }
    if excluded:
        row |= {"excluded": len(excluded), "excluded_first": excluded[0]}
    return row | ({"failed_first": errors[0]} if errors else {})


def _metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """A result's metrics, without their errors: by `NAME,FILTER`."""
    return {
        name: float(value)
        for name, value in result.items()
        if "," in name and "_stderr," not in name and _is_number(value)
    }


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool | str) and value is not None and math.isfinite(value)


def interval(values: Sequence[float], scale: str) -> list[float]:
    """95 % confidence interval of the mean; that of a proportion where all values are 0 or 100 of 100."""
    if scale == "0-100":
        found = mean_interval([each / 100 for each in values])
        return [100 * found.low, 100 * found.high]
    found = bootstrap_interval(values)
    return [found.low, found.high]
