"""The model as lm-eval sees it: its requests are answered by our rollouts and our log-likelihoods."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lm_eval.api.model import LM

from agentray.config import SuiteConfig
from agentray.suites.asking import ask
from agentray.suites.benchmark import Question
from agentray.suites.likelihood import Likelihoods, Measured, Text, too_long
from agentray.suites.respondents import of_model
from agentray.types import Message, Progress

_LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens")
"""Names of the longest reply in a task's settings."""
_MAX_TOKENS = 256
"""Longest reply where a task does not say; lm-eval's own default."""


class _Chat(str):
    """A chat as JSON, told apart from a plain text that looks like one."""


class Answering(LM):  # type: ignore[misc]
    """Answers one benchmark's requests.

    Args:
        config: Who is asked.
        directory: Where the answers are kept.
        likelihoods: Says how likely texts are.
        progress: Told how far it is.
    """

    tokenizer_name = ""

    def __init__(
        self, config: SuiteConfig, directory: Path, likelihoods: Likelihoods, progress: Progress
    ) -> None:
        super().__init__()
        self._config, self._directory = config, directory
        self._likelihoods, self._progress = likelihoods, progress
        self.failed: defaultdict[str, list[Any]] = defaultdict(list)
        """Documents without an answer, by task."""
        self.errors: list[str] = []
        """Why they have none."""
        self.excluded: list[str] = []
        """Of those, the texts that are too long for the model."""
        self.truncated = 0

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The chat itself, as JSON: the engine or endpoint has the template."""
        return _Chat(json.dumps(chat_history, ensure_ascii=False))

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """The model's replies, each up to the first of its request's stop texts.

        A request that failed has an empty reply, and its document is in `failed`.
        """
        groups: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
        for each in requests:
            name = f"{each.task_name}/{each.doc_id}/{each.idx}"
            groups[json.dumps(each.args[1], sort_keys=True, default=str)][name].append(each)
        replies: dict[int, str] = {}
        for group in groups.values():
            replies |= self._replies(group)
        asked: Counter[int] = Counter()
        # lm-eval repeats one request object for several samples of a document.
        found = []
        for each in requests:
            found.append(replies.get((id(each), asked[id(each)]), ""))  # type: ignore[call-overload]
            asked[id(each)] += 1
        return found

    def _replies(self, group: dict[str, list[Any]]) -> dict[Any, str]:
        """Replies to requests with equal settings, by request and sample."""
        kwargs = next(iter(group.values()))[0].args[1]
        temperature = float(kwargs.get("temperature") or 0.0) if kwargs.get("do_sample", True) else 0.0
        questions = [_question(name, each[0].args[0], temperature) for name, each in group.items()]
        max_tokens = int(next(filter(None, map(kwargs.get, _LENGTHS)), _MAX_TOKENS))
        top_p = float(kwargs.get("top_p") or 1.0)
        samples = max(len(each) for each in group.values())
        directory = self._directory / f"replies-{max_tokens}-{top_p:g}"
        how = of_model(self._config, directory, max_tokens, samples)
        how = how.model_copy(update={"sampling": how.sampling.model_copy(update={"top_p": top_p})})
        answers, errors = ask(questions, how, self._progress)
        self.errors += errors
        self.truncated += sum(each.truncated for each in answers)
        by_name = {each.question.id: each for each in answers}
        stops = _stops(kwargs.get("until"))
        found = {}
        for name, same in group.items():
            if name not in by_name or len(by_name[name].replies) < len(same):
                self.failed[same[0].task_name].append(same[0].doc)
                continue
            texts = [each[0] if each else "" for each in by_name[name].replies]
            for sample, each in enumerate(same):
                found[id(each), sample] = _until(texts[sample], stops)
        return found

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Logarithm of the probability of each continuation, and whether it is the likeliest."""
        found = self._measured(requests, [Text(*each.args) for each in requests])
        return [(each.logprob or 0.0, each.greedy) for each in found]

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Logarithm of the probability of each text, read in windows."""
        found = self._measured(requests, [Text(None, each.args[0]) for each in requests])
        return [each.logprob or 0.0 for each in found]

    def _measured(self, requests: Sequence[Any], texts: Sequence[Text]) -> list[Measured]:
        file = self._directory / "likelihoods.jsonl"
        found = self._likelihoods.measure(texts, file, lambda done: self._progress(done, len(texts)))
        for request, each in zip(requests, found, strict=True):
            self.truncated += each.truncated
            if each.logprob is None and request.doc not in self.failed[request.task_name]:
                self.failed[request.task_name].append(request.doc)
                self.excluded.append(too_long(f"{request.task_name}/{request.doc_id}", each.num_tokens))
        return found


def _question(name: str, context: str, temperature: float) -> Question:
    """A request as a question: a chat's last message is what is asked; plain text is one message."""
    if not isinstance(context, _Chat):
        return Question(name, (context,), temperature=temperature)
    *before, last = [Message(each["role"], each["content"]) for each in json.loads(context)]
    return Question(name, (last.content,), tuple(before), temperature=temperature)


def _stops(until: Any) -> list[str]:
    return [each for each in ([until] if isinstance(until, str) else until or []) if each]


def _until(text: str, stops: Sequence[str]) -> str:
    """A reply up to the first stop text in it."""
    return text[: min((place for each in stops if (place := text.find(each)) >= 0), default=len(text))]
