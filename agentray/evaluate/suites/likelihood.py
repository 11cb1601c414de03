"""How likely a local model or an endpoint finds given text, by lm-evaluation-harness.

lm-eval does the tokenizing at the border of context and continuation, the batching, and the reading of
endpoints' answers. Questions and scores stay ours, so that results are stored one by one and a run can be
resumed.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from agentray.errors import PolicyError, UsageError
from agentray.evaluate.suites.benchmark import Answer, AskedBy, Question

_CHUNK = 16
"""Questions between two writes."""
_BATCH = 8
"""Texts in one forward pass."""
_TRIES = 3
_TIMEOUT_S = 300


class Source(NamedTuple):
    """Where log-likelihoods come from; plain data, for an actor."""

    model: str
    """Model directory or hub id; the endpoint's name for it where there is a `base_url`."""
    base_url: str | None = None
    tokenizer: str | None = None
    """Of an endpoint: directory or id; None asks the endpoint."""
    dtype: str = "bfloat16"
    num_gpus: float = 0
    concurrent: int = 1
    """Requests at once, to an endpoint."""


def lm_eval_missing() -> str | None:
    """Why log-likelihoods cannot be had here; None where they can."""
    if importlib.util.find_spec("lm_eval") is None:
        return 'lm-eval is not installed: pip install "agentray[evaluate]"'
    return None


class Scorer:
    """A loaded model, or a connection to one."""

    def __init__(self, source: Source) -> None:
        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        if Path(source.model).is_dir() or (source.tokenizer and Path(source.tokenizer).is_dir()):
            # lm-eval asks the hub about a model's revision, and a local directory has none.
            os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self._lm = _endpoint(source) if source.base_url else _local(source)

    def measure(self, kind: AskedBy, questions: Sequence[Question]) -> list[tuple[list[float], list[int]]]:
        """Per question, the log-likelihood of each option in nats, and its length in tokens.

        Raises:
            PolicyError: An endpoint does not give log-probabilities of a prompt.
        """
        from lm_eval.api.instance import Instance

        pairs = [(self._context(kind, each), option) for each in questions for option in each.options]
        requests = [Instance("loglikelihood", {}, pair, index) for index, pair in enumerate(pairs)]
        try:
            found = iter(self._lm.loglikelihood(requests, disable_tqdm=True))
        except Exception as error:  # whatever an endpoint says, and lm-eval makes of it: it cannot be used
            raise PolicyError(
                "the log-likelihoods cannot be had",
                f"{type(error).__name__}: {str(error)[:300]}",
                "an endpoint must answer /completions with echo and logprobs, and have its tokenizer given: "
                "--set evaluate.tokenizer=DIR",
            ) from error
        return [
            (
                [float(next(found)[0]) for _ in each.options],
                [
                    max(1, len(self._lm.tok_encode(option, add_special_tokens=False)))
                    for option in each.options
                ],
            )
            for each in questions
        ]

    def _context(self, kind: AskedBy, question: Question) -> str:
        """What precedes the options."""
        if kind == "options":
            return question.turns[0]
        messages = [{"role": each.role, "content": each.content} for each in question.instruction]
        chat = [*messages, {"role": "user", "content": question.turns[0]}]
        return str(self._lm.apply_chat_template(chat, add_generation_prompt=True))


def measured(
    kind: AskedBy, questions: Sequence[Question], file: Path, source: Source, count: Callable[[int], None]
) -> list[Answer]:
    """Answers to likelihood questions; what the file holds already is not asked again.

    Args:
        kind: `options` or `text`.
        questions: What to ask.
        file: JSONL file of what was found so far; it is gone on with.
        source: Where log-likelihoods come from.
        count: Told how many questions are done.
    """
    stored = _read(file)
    missing = [each for each in questions if each.id not in stored]
    count(len(questions) - len(missing))
    if missing:
        with _opened(source) as measure, file.open("a", encoding="utf-8") as stream:
            for start in range(0, len(missing), _CHUNK):
                chunk = missing[start : start + _CHUNK]
                for each, (logprobs, num_tokens) in zip(chunk, measure(kind, chunk), strict=True):
                    stored[each.id] = (logprobs, num_tokens)
                    stream.write(json.dumps([each.id, logprobs, num_tokens]) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
                count(len(questions) - len(missing) + start + len(chunk))
    return [
        Answer(each, logprobs=tuple(stored[each.id][0]), num_tokens=tuple(stored[each.id][1]))
        for each in questions
    ]


_Measure = Callable[[AskedBy, Sequence[Question]], list[tuple[list[float], list[int]]]]


@contextmanager
def _opened(source: Source) -> Iterator[_Measure]:
    """A scorer: of an endpoint in this process, of a model in an actor, whose end frees its memory."""
    if source.base_url is not None:
        yield Scorer(source).measure
        return
    import ray

    from agentray.cluster import cause, connected

    with connected():
        actor = ray.remote(Scorer).options(num_cpus=1, num_gpus=source.num_gpus).remote(source)

        def measure(kind: AskedBy, questions: Sequence[Question]) -> list[tuple[list[float], list[int]]]:
            try:
                found: list[tuple[list[float], list[int]]] = ray.get(
                    actor.measure.remote(kind, list(questions))
                )
            except ray.exceptions.RayTaskError as error:
                raise cause(error) from error
            return found

        try:
            yield measure
        finally:
            ray.kill(actor)


def _local(source: Source) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(
        pretrained=source.model,
        device="cuda" if source.num_gpus else "cpu",
        dtype=source.dtype,
        batch_size=_BATCH,
    )


def _endpoint(source: Source) -> Any:
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    from agentray.policy.http import API_KEY_VARIABLE

    key = os.environ.get(API_KEY_VARIABLE)
    try:
        return LocalCompletionsAPI(
            base_url=f"{(source.base_url or '').rstrip('/')}/completions",
            model=source.model,
            tokenizer=source.tokenizer,
            tokenizer_backend="huggingface" if source.tokenizer else "remote",
            header={"Authorization": f"Bearer {key}"} if key else {},
            num_concurrent=source.concurrent,
            max_retries=_TRIES,
            timeout=_TIMEOUT_S,
            max_length=2**20,  # what is too long is the endpoint's to refuse
        )
    except Exception as error:  # whatever an endpoint says, and lm-eval makes of it: it cannot be used
        raise PolicyError(
            "the endpoint's tokenizer cannot be had",
            f"{type(error).__name__}: {str(error)[:300]}",
            "give it: --set evaluate.tokenizer=DIR",
        ) from error


def _read(file: Path) -> dict[str, tuple[list[float], list[int]]]:
    """What was found so far; a last line that was cut off is dropped from the file.

    Raises:
        UsageError: The file is not one of ours.
    """
    if not file.exists():
        return {}
    text = file.read_text(encoding="utf-8")
    whole, newline, _ = text.rpartition("\n")
    if newline != text[-1:]:
        file.write_text(whole + newline, encoding="utf-8")
    try:
        rows: list[Any] = [json.loads(line) for line in whole.splitlines()]
        return {name: (logprobs, num_tokens) for name, logprobs, num_tokens in rows}
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{str(file)!r} cannot be read", str(error), "remove it, or give another --out"
        ) from error
