"""What is asked for log-likelihoods, of a fake of lm-eval's model that is as strict about lengths."""

from contextlib import contextmanager

import pytest
from chats import write_messages
from endpoint import served
from fakes import byte_tokenizer

from agentray.config import SuiteConfig, load
from agentray.suites import likelihood, rows
from agentray.suites import run as stage
from agentray.suites.likelihood import Likelihoods, Scorer, Source, Text
from agentray.types import Message


class Letters:
    """A model for which every letter is a token, as likely as any other."""

    max_length = 40

    def __init__(self):
        self.tokenizer = byte_tokenizer("{% for m in messages %}{{ m.content }}{% endfor %}:")

    def tok_encode(self, text, add_special_tokens=False):
        return list(text)

    def loglikelihood_rolling(self, requests, disable_tqdm):
        return [-float(len(text)) for (text,) in requests]

    def _encode_pair(self, context, option):
        return self.tok_encode(context), self.tok_encode(option)

    def loglikelihood(self, requests, disable_tqdm):
        assert all(len(option) <= self.max_length for _, option in requests)
        return [(-float(len(option)), False) for _, option in requests]


@pytest.fixture
def scorer(monkeypatch):
    monkeypatch.setattr(likelihood, "_local", lambda source: Letters())
    monkeypatch.setattr(likelihood, "_instance", lambda *arguments, kind="": arguments)
    return Scorer(Source("letters"))


def text(asked, reply):
    return Text((Message("user", "q" * asked),), "r" * reply)


def test_a_reply_longer_than_the_model_takes_is_not_rated_and_stops_no_other(scorer):
    found = scorer.measure([text(3, 41), text(3, 40), text(3, 10)])
    assert [each.logprob for each in found] == [None, -40.0, -10.0]


def test_what_is_cut_off_is_question_and_reply_together(scorer):
    asked = [text(20, 20), text(20, 21), text(39, 2)]
    assert [each.truncated for each in scorer.measure(asked)] == [False, True, True]


def test_chats_plain_texts_and_whole_texts_keep_their_order(scorer):
    asked = [Text(None, "r" * 90), text(1, 2), Text("", "r" * 3), Text("q", "r" * 4)]
    assert [each.logprob for each in scorer.measure(asked)] == [-90.0, -2.0, -3.0, -4.0]


def test_what_was_measured_is_not_asked_again_and_a_cut_off_line_is(scorer, monkeypatch, tmp_path):
    asked = []

    @contextmanager
    def opened(source):
        yield lambda texts: asked.extend(texts) or scorer.measure(texts)

    monkeypatch.setattr(likelihood, "_opened", opened)
    file = tmp_path / "likelihoods.jsonl"
    texts = [text(1, size) for size in (1, 2, 3)]
    done = []
    with Likelihoods(lambda: None) as likelihoods:
        first = likelihoods.measure(texts[:2], file, done.append)
        file.write_text(file.read_text()[:-5])
        again = likelihoods.measure([*texts, texts[0]], file, done.append)
    assert asked == [*texts[:2], *texts[1:]] and again == [*first, again[2], first[0]]
    assert done == [0, 2, 1, 3]


def test_a_benchmark_names_the_replies_that_were_too_long_and_is_graded_without_them(
    scorer, monkeypatch, tmp_path
):
    @contextmanager
    def opened(source):
        yield scorer.measure

    monkeypatch.setattr(likelihood, "_opened", opened)
    monkeypatch.setattr(rows, "lm_eval_missing", lambda: None)
    data = tmp_path / "loss"
    data.mkdir()
    asked = Message("user", "q")
    write_messages(
        data / "a.jsonl", [(asked, Message("assistant", "r" * size, loss=True)) for size in (50, 10)]
    )
    with served(lambda messages: "") as (url, _):
        values = {"policy": url, "out": tmp_path / "out", "tasks": ["loss"], "data": tmp_path}
        config = load(SuiteConfig, "evaluate", values=values)
        row, again = stage.run(config).tasks["loss"], stage.run(config).tasks["loss"]
    assert (row["score"], row["n"], row["failed"], row["excluded"]) == (1.0, 1, 0, 1)
    assert row["excluded_first"] == "a.jsonl:1: its 50 tokens to rate are more than the model takes at once"
    assert again == row
