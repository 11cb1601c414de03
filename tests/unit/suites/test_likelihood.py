"""What is asked for log-likelihoods, by a stand-in for lm-eval's model that is as strict about lengths."""

from contextlib import contextmanager

import pytest
from chats import write_messages
from endpoint import served
from fakes import byte_tokenizer

from agentray.config import SuiteConfig, load
from agentray.suites import likelihood
from agentray.suites import run as stage
from agentray.suites.benchmark import Question
from agentray.suites.likelihood import Scorer, Source
from agentray.types import Message


class Letters:
    """A model for which every letter is a token, as likely as any other."""

    max_length = 40

    def __init__(self):
        self.tokenizer = byte_tokenizer("{% for m in messages %}{{ m.content }}{% endfor %}:")

    def tok_encode(self, text, add_special_tokens=False):
        return list(text)

    def _encode_pair(self, context, option):
        return self.tok_encode(context), self.tok_encode(option)

    def loglikelihood(self, requests, disable_tqdm):
        assert all(len(option) <= self.max_length for _, option in requests)
        return [(-float(len(option)), False) for _, option in requests]


@pytest.fixture
def scorer(monkeypatch):
    monkeypatch.setattr(likelihood, "_local", lambda source: Letters())
    monkeypatch.setattr(likelihood, "_instance", lambda context, option: (context, option))
    return Scorer(Source("letters"))


def question(name, asked, reply):
    return Question(name, ("q" * asked,), options=("r" * reply,))


def test_a_reply_longer_than_the_model_takes_is_not_rated_and_stops_no_other(scorer):
    found = scorer.measure("text", [question("a", 3, 41), question("b", 3, 40), question("c", 3, 10)])
    assert [each.logprobs for each in found] == [[], [-40.0], [-10.0]]


def test_what_is_cut_off_is_question_and_reply_together(scorer):
    asked = [question("a", 20, 20), question("b", 20, 21), question("c", 39, 2)]
    assert [each.truncated for each in scorer.measure("text", asked)] == [False, True, True]


def test_a_benchmark_names_the_replies_that_were_too_long_and_is_graded_without_them(
    scorer, monkeypatch, tmp_path
):
    @contextmanager
    def opened(source):
        yield scorer.measure

    monkeypatch.setattr(likelihood, "_opened", opened)
    monkeypatch.setattr(stage, "lm_eval_missing", lambda: None)
    data = tmp_path / "loss"
    data.mkdir()
    asked = Message("user", "q")
    write_messages(
        data / "a.jsonl", [(asked, Message("assistant", "r" * size, loss=True)) for size in (50, 10)]
    )
    with served(lambda messages: "") as (url, _):
        values = {"policy": url, "out": tmp_path / "out", "tasks": ["loss"], "data": {"loss": data}}
        config = load(SuiteConfig, "evaluate", values=values)
        row, again = stage.run(config).tasks["loss"], stage.run(config).tasks["loss"]
    assert (row["score"], row["n"], row["failed"], row["left_out"]) == (1.0, 1, 0, 1)
    assert row["left_out_first"] == "a.jsonl:1: its 50 tokens to rate are more than the model takes at once"
    assert again == row
