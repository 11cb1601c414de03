"""How likely a local model or an endpoint finds given text, by lm-evaluation-harness.

lm-eval does the tokenizing at the border of context and continuation, the batching, and the reading of
endpoints' answers. Results are stored a few at a time, by what was asked, so a run can be resumed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from agentray.chat import Template
from agentray.errors import PolicyError, ResourceError, UsageError
from agentray.suites.benchmark import Answer, Question
from agentray.types import Message

_CHUNK = 64
"""Texts between two writes."""
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


class Text(NamedTuple):
    """A text whose likelihood is asked for, after what precedes it."""

    context: str | tuple[Message, ...] | None
    """Plain text; or a chat, of which the text is the next reply; None rates a whole text of any length, in
    windows of the model's length."""
    text: str


class Measured(NamedTuple):
    """How likely a text is."""

    logprob: float | None
    """Natural logarithm of its probability; None where it is longer than the model takes."""
    greedy: bool
    """Whether every token of it was the likeliest one."""
    num_tokens: int
    truncated: bool
    """Context and text were too long for the model together, which saw their end only."""


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

    def measure(self, texts: Sequence[Text]) -> list[Measured]:
        """How likely each text is.

        Raises:
            PolicyError: An endpoint does not give log-probabilities of a prompt.
        """
        with _explained(self._remote):
            whole = iter(self._rolling([each.text for each in texts if each.context is None]))
            paired = iter(self._paired([each for each in texts if each.context is not None]))
        return [next(whole if each.context is None else paired) for each in texts]

    def _rolling(self, texts: Sequence[str]) -> list[Measured]:
        if not texts:
            return []
        requests = [_instance(each, kind="loglikelihood_rolling") for each in texts]
        found = self._lm.loglikelihood_rolling(requests, disable_tqdm=True)
        return [
            Measured(float(value), False, max(1, self._length(each)), False)
            for value, each in zip(found, texts, strict=True)
        ]

    def _paired(self, texts: Sequence[Text]) -> list[Measured]:
        pairs = [(self._context(each), each.text) for each in texts]
        lengths = [self._lengths(*pair) for pair in pairs]
        fits = [after <= self._lm.max_length for _, after in lengths]
        requests = [_instance(*pair) for pair, fit in zip(pairs, fits, strict=True) if fit]
        found = iter(self._lm.loglikelihood(requests, disable_tqdm=True) if requests else ())
        measured = []
        for (_, text), length, fit in zip(pairs, lengths, fits, strict=True):
            logprob, greedy = next(found) if fit else (None, False)
            truncated = sum(length) > self._lm.max_length + 1
            value = None if logprob is None else float(logprob)
            measured.append(Measured(value, bool(greedy), max(1, self._length(text)), truncated))
        return measured

    def _lengths(self, context: str, text: str) -> tuple[int, int]:
        """Tokens of context and text as lm-eval divides them, which refuses a text that fills the model.

        Unknown, and 0, of an endpoint: what is too long is its own to refuse.
        """
        if self._remote:
            return 0, 0
        before, after = self._lm._encode_pair(context, text) if context else ([0], self._lm.tok_encode(text))
        return len(before), len(after)

    def _length(self, text: str) -> int:
        return len(self._lm.tok_encode(text, add_special_tokens=False))

    @cached_property
    def _template(self) -> Template:
        return Template(self._lm.tokenizer)

    def _context(self, text: Text) -> str:
        """What precedes a text, in the model's chat template where that is a chat."""
        if isinstance(text.context, str):
            return text.context
        chat = list(text.context or ())
        if not self._remote:
            return self._template.render(self._template.adapted(chat)[0], opened=True)
        plain = [{"role": each.role, "content": each.content} for each in chat]
        return str(self._lm.apply_chat_template(plain, add_generation_prompt=True))


def _instance(*arguments: str, kind: str = "loglikelihood") -> Any:
    """A request as lm-eval wants it."""
    from lm_eval.api.instance import Instance

    return Instance(kind, {}, arguments, 0)


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

    def measure(self, texts: Sequence[Text], file: Path, count: Callable[[int], None]) -> list[Measured]:
        """How likely texts are; what the file holds is not asked again.

        Args:
            texts: What to ask.
            file: JSONL file of what was found so far, to which the rest is added.
            count: Told how many texts are done.
        """
        stored = _read(file)
        keys = [_key(each) for each in texts]
        missing = {key: each for key, each in zip(keys, texts, strict=True) if key not in stored}
        done = len(set(keys)) - len(missing)
        count(done)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as stream:
            for start in range(0, len(missing), _CHUNK):
                chunk = list(missing)[start : start + _CHUNK]
                self._measure = self._measure or self._stack.enter_context(_opened(self._source()))
                for key, found in zip(chunk, self._measure([missing[key] for key in chunk]), strict=True):
                    stored[key] = found
                    stream.write(json.dumps([key, *found]) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
                count(done + start + len(chunk))
        return [stored[key] for key in keys]

    def answers(
        self, questions: Sequence[Question], file: Path, count: Callable[[int], None]
    ) -> tuple[list[Answer], list[str]]:
        """Answers to questions with options, and those that are excluded, with the reason."""
        texts = [
            Text((*each.instruction, Message("user", each.turns[0])), option)
            for each in questions
            for option in each.options
        ]
        found = iter(self.measure(texts, file, count))
        answers, excluded = [], []
        for question in questions:
            options = [next(found) for _ in question.options]
            logprobs = [each.logprob for each in options if each.logprob is not None]
            lengths = tuple(each.num_tokens for each in options)
            if len(logprobs) == len(options):
                cut = any(each.truncated for each in options)
                answers.append(Answer(question, logprobs=tuple(logprobs), num_tokens=lengths, truncated=cut))
            else:
                excluded.append(too_long(question.id, max(lengths)))
        return answers, excluded


def too_long(name: str, num_tokens: int) -> str:
    """Why an item is excluded of which a text is longer than the model."""
    return f"{name}: its {num_tokens:,} tokens to rate are more than the model takes at once"


def _key(text: Text) -> str:
    """Hash of all that is asked."""
    context = text.context
    asked = context if context is None or isinstance(context, str) else [asdict(each) for each in context]
    return hashlib.sha256(json.dumps([asked, text.text], default=str).encode()).hexdigest()[:24]


_Measure = Callable[[Sequence[Text]], list[Measured]]


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

        def measure(texts: Sequence[Text]) -> list[Measured]:
            asked = actor.measure.remote(list(texts))
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
    """What was found so far, by key; a last line that was cut off is dropped from the file.

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
