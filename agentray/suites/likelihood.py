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
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from agentray.chat import Template
from agentray.errors import PolicyError, ResourceError, UsageError
from agentray.suites.benchmark import Answer, AskedBy, Question
from agentray.types import Message

_CHUNK = 16
"""Questions between two writes."""
_BATCH = 8
"""Texts in one forward pass."""
_CHUNK_TIMEOUT_S = 1800.0
"""Longest wait for a chunk; the first one includes loading the model."""
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


class Measured(NamedTuple):
    """How likely the options of one question are."""

    logprobs: list[float]
    """Natural logarithm of each option's probability; none where an option is longer than the model takes."""
    num_tokens: list[int]
    """Length of each option."""
    truncated: bool
    """Question and option were too long for the model, which saw their end only."""


class Scorer:
    """A loaded model, or a connection to one."""

    def __init__(self, source: Source) -> None:
        logging.getLogger("lm_eval").setLevel(logging.CRITICAL)
        if Path(source.model).is_dir() or (source.tokenizer and Path(source.tokenizer).is_dir()):
            # lm-eval asks the hub about a model's revision, and a local directory has none.
            os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        os.environ.setdefault("TQDM_DISABLE", "1")  # progress is the stage's to report
        self._remote = source.base_url is not None
        with _explained(self._remote):
            self._lm = _endpoint(source) if self._remote else _local(source)
            if self._remote:  # many requests at once would fail with as many complaints
                self._lm.loglikelihood([_instance("One and", " one")], disable_tqdm=True)

    def measure(self, kind: AskedBy, questions: Sequence[Question]) -> list[Measured]:
        """How likely each option of each question is.

        Raises:
            PolicyError: An endpoint does not give log-probabilities of a prompt.
        """
        asked = [(self._context(kind, each), each.options) for each in questions]
        lengths = [[self._lengths(context, option) for option in options] for context, options in asked]
        fits = [all(length <= self._lm.max_length for _, length in each) for each in lengths]
        requests = [
            _instance(context, option)
            for (context, options), fit in zip(asked, fits, strict=True)
            for option in options
            if fit
        ]
        with _explained(self._remote):
            found = iter(self._lm.loglikelihood(requests, disable_tqdm=True))
        return [
            Measured(
                [float(next(found)[0]) for _ in each.options] if fit else [],
                [max(1, self._length(option)) for option in each.options],
                any(sum(pair) > self._lm.max_length + 1 for pair in pairs),
            )
            for each, pairs, fit in zip(questions, lengths, fits, strict=True)
        ]

    def _lengths(self, context: str, option: str) -> tuple[int, int]:
        """Tokens of context and option as lm-eval divides them, which refuses an option that fills the model.

        Unknown, and 0, of an endpoint: what is too long is its own to refuse.
        """
        if self._remote:
            return 0, 0
        before, after = self._lm._encode_pair(context, option)
        return len(before), len(after)

    def _length(self, text: str) -> int:
        return len(self._lm.tok_encode(text, add_special_tokens=False))

    @cached_property
    def _template(self) -> Template:
        return Template(self._lm.tokenizer)

    def _context(self, kind: AskedBy, question: Question) -> str:
        """What precedes the options."""
        if kind == "options":
            return question.turns[0]
        chat = [*question.instruction, Message("user", question.turns[0])]
        if not self._remote:
            return self._template.render(self._template.adapted(chat)[0], opened=True)
        plain = [{"role": each.role, "content": each.content} for each in chat]
        return str(self._lm.apply_chat_template(plain, add_generation_prompt=True))


def _instance(context: str, option: str) -> Any:
    """A request as lm-eval wants it."""
    from lm_eval.api.instance import Instance

    return Instance("loglikelihood", {}, (context, option), 0)


class Likelihoods:
    """Asks for log-likelihoods; the model loads at the first question that is not stored.

    Args:
        source: Says where they come from; called when that is needed.
    """

    def __init__(self, source: Callable[[], Source]) -> None:
        self._source = source
        self._measure: _Measure | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Likelihoods:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def answers(
        self, kind: AskedBy, questions: Sequence[Question], file: Path, count: Callable[[int], None]
    ) -> tuple[list[Answer], list[str]]:
        """Answers to questions, and what was left out and why; what the file holds is not asked again.

        Args:
            kind: `options` or `text`.
            questions: What to ask.
            file: JSONL file of what was found so far; it is gone on with.
            count: Told how many questions are done.
        """
        stored = _read(file)
        missing = [each for each in questions if each.id not in stored]
        count(len(questions) - len(missing))
        with file.open("a", encoding="utf-8") as stream:
            for start in range(0, len(missing), _CHUNK):
                chunk = missing[start : start + _CHUNK]
                self._measure = self._measure or self._stack.enter_context(_opened(self._source()))
                for each, found in zip(chunk, self._measure(kind, chunk), strict=True):
                    stored[each.id] = found
                    stream.write(json.dumps([each.id, *found]) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
                count(len(questions) - len(missing) + start + len(chunk))
        answers = [_answer(each, stored[each.id]) for each in questions if stored[each.id].logprobs]
        left_out = [_too_long(each, stored[each.id]) for each in questions if not stored[each.id].logprobs]
        return answers, left_out


def _answer(question: Question, found: Measured) -> Answer:
    return Answer(
        question,
        logprobs=tuple(found.logprobs),
        num_tokens=tuple(found.num_tokens),
        truncated=found.truncated,
    )


def _too_long(question: Question, found: Measured) -> str:
    return (
        f"{question.id}: its {max(found.num_tokens):,} tokens to rate are more than the model takes at once"
    )


_Measure = Callable[[AskedBy, Sequence[Question]], list[Measured]]


@contextmanager
def _opened(source: Source) -> Iterator[_Measure]:
    """A scorer: of an endpoint in this process, of a model in an actor, whose end frees its memory."""
    if source.base_url is not None:
        yield Scorer(source).measure
        return
    import ray

    from agentray.cluster import connected

    with connected():
        actor = ray.remote(Scorer).options(num_cpus=1, num_gpus=source.num_gpus).remote(source)

        def measure(kind: AskedBy, questions: Sequence[Question]) -> list[Measured]:
            asked = actor.measure.remote(kind, list(questions))
            try:
                found: list[Measured] = ray.get(asked, timeout=_CHUNK_TIMEOUT_S)
            except ray.exceptions.RayError as error:
                raise ResourceError(
                    f"the log-likelihoods of {source.model!r} failed",
                    str(error).strip().splitlines()[-1],
                    "out of memory is the usual cause; run it again to go on from here",
                ) from error
            return found

        try:
            yield measure
        finally:
            ray.kill(actor)


@contextmanager
def _explained(remote: bool) -> Iterator[None]:
    """Say what an endpoint needs, whatever lm-eval made of its answer; failures of a local model pass."""
    try:
        yield
    except Exception as error:
        if not remote:
            raise
        raise PolicyError(
            "the endpoint gives no log-likelihoods",
            f"{type(error).__name__}: {str(error)[:300]}",
            "it must answer /completions with echo and logprobs, and serve its tokenizer or have it given: "
            "--set evaluate.tokenizer=DIR",
        ) from error


def _local(source: Source) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(
        pretrained=source.model,
        device="cuda" if source.num_gpus else "cpu",
        dtype=source.dtype,
        softmax_dtype="float32",  # a sum of bfloat16 logarithms is right to three digits at best
        parallelize=source.num_gpus > 1,
        batch_size=_BATCH,
    )


def _endpoint(source: Source) -> Any:
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    from agentray.policy.address import api_key

    key = api_key()
    return LocalCompletionsAPI(
        base_url=f"{(source.base_url or '').rstrip('/')}/completions",
        model=source.model,
        tokenizer=source.tokenizer,
        tokenizer_backend="huggingface" if source.tokenizer else "remote",
        # Without any header lm-eval would send what OPENAI_API_KEY holds.
        header={"Accept": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})},
        auth_token=key,
        num_concurrent=source.concurrent,
        max_retries=_TRIES,
        timeout=_TIMEOUT_S,
        max_length=2**20,  # what is too long is the endpoint's to refuse
    )


def _read(file: Path) -> dict[str, Measured]:
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
        return {name: Measured(*found) for name, *found in rows}
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{str(file)!r} cannot be read", str(error), "remove it, or give another --out"
        ) from error
