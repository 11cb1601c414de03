"""The mix stage: counts that add up, ratios, and a stream that is the same however it was computed."""

import hashlib
import json

import pytest

from agentray import parallel
from agentray.config import Source
from agentray.errors import DataError, UsageError
from agentray.mix import run as stage
from agentray.mix.corpus import read_corpus
from agentray.mix.run import REJECTED, run


def records(path, *dialogues):
    """A file of conversations of user and assistant."""
    roles = ("user", "assistant") * 3
    talks = (
        {"messages": [{"role": role, "content": text} for role, text in zip(roles, talk, strict=False)]}
        for talk in dialogues
    )
    path.write_text("\n".join(map(json.dumps, talks)))
    return path


def digest(corpus, eta=None):
    """What 2,000 samples of the stream are, to the last token."""
    stream, found = corpus.stream(eta), hashlib.sha256()
    for index in range(2000):
        share, row = stream[index]
        name = stream.shares[share].name
        sample = corpus.training[name][row]
        found.update(name.encode() + sample.input_ids.tobytes() + sample.loss_mask.tobytes())
        found.update(bytes([sample.prefix_length]))
    return found.hexdigest()[:16]


@pytest.fixture
def mixed(mix_of, attempts, chats):
    """Settings of a mix of 40 + 10 attempts, 9 web conversations and two files of chats."""
    sources = [
        Source(path=attempts("first", 40)),
        Source(path=chats("w.jsonl", 9, "Act. "), name="web"),
        Source(path=attempts("second", 10)),
        Source(path=chats("a.jsonl", 30), side="general"),
        Source(path=chats("b.jsonl", 25, "bye "), side="general", weight=3),
    ]
    return mix_of(sources=sources, eta=0.3, seed=5)


def test_without_weights_the_stream_is_uniform_over_trajectories_sample_for_sample(mixed):
    """Digests of the stream before agent sources had weights."""
    run(mixed)
    corpus = read_corpus(mixed.out)
    assert (digest(corpus), digest(corpus, 0.8)) == ("7ad746774db33145", "fed17428091707fd")
    found = hashlib.sha256()
    for name in sorted(corpus.validation):
        for sample in corpus.validation[name]:
            found.update(name.encode() + sample.input_ids.tobytes() + sample.loss_mask.tobytes())
    assert found.hexdigest()[:16] == "ae135c934ec403d1"


def test_counts_add_up(mixed):
    done = []
    summary = run(mixed, lambda count, total, **fields: done.append((count, total)))
    assert summary.read == {"other": 18, "count": 32, "web": 9, "a": 30, "b": 25}
    assert summary.samples == summary.training and not summary.set_aside
    for name, count in summary.read.items():
        held_out = summary.validation.get(name, 0)
        assert count == summary.training[name] + held_out + sum(summary.rejected[name].values())
    corpus = read_corpus(mixed.out)
    for name, rows in corpus.training.items():
        assert len(rows) == summary.samples[name]
        assert sum(len(each.input_ids) for each in rows) == summary.tokens[name]
        assert sum(each.loss_mask.sum() for each in rows) == summary.loss_tokens[name]
    assert done[-1] == (114, 114) and all(count < total for count, total in done[:-1])


def test_ratios_are_reported_in_samples_and_in_tokens_with_loss(mixed):
    summary = run(mixed)
    corpus, counts, tokens = read_corpus(mixed.out), {}, {}
    stream = corpus.stream()
    for index in range(10_000):
        share, row = stream[index]
        name = stream.shares[share].name
        counts[name] = counts.get(name, 0) + 1
        tokens[name] = tokens.get(name, 0) + int(corpus.training[name][row].loss_mask.sum())
    assert summary.realised == {name: count / 10_000 for name, count in sorted(counts.items())}
    total = sum(tokens.values())
    assert summary.realised_tokens == {name: count / total for name, count in sorted(tokens.items())}


def test_a_weight_replaces_the_number_of_samples(mix_of, attempts):
    run_of_two = attempts("first", 30, policies=("weak", "strong"))
    sources = [
        Source(path=run_of_two, policy="weak", name="weak"),
        Source(path=run_of_two, policy="strong", name="strong", weight=45),
    ]
    summary = run(mix_of(sources=sources, eta=1))
    assert summary.read == {"weak": 15, "strong": 15}
    assert summary.realised == pytest.approx({"weak": 0.25, "strong": 0.75}, abs=0.02)


def test_environments_of_a_directory_share_its_weight(mix_of, attempts, chats):
    sources = [
        Source(path=attempts("first", 30), weight=3),
        Source(path=chats("web.jsonl", 50), weight=1),
    ]
    summary = run(mix_of(sources=sources, eta=1))
    assert summary.realised == pytest.approx({"other": 0.25, "count": 0.5, "web": 0.25}, abs=0.02)
    one = [Source(path=sources[0].path, env="count"), Source(path=sources[0].path, env="other", weight=0)]
    summary = run(mix_of(sources=one, eta=1))
    assert summary.read == {"count": 20, "other": 10} and summary.realised == {"count": 1.0}


def test_the_corpus_is_the_same_for_any_number_of_processes(mixed, monkeypatch):
    alone = run(mixed)
    files = {path.name: path.read_bytes() for path in (mixed.out / "corpus").iterdir()}
    mixture = (mixed.out / "mixture.json").read_bytes()
    monkeypatch.setattr(stage, "_CHUNK", 7)
    monkeypatch.setattr(stage, "_ALONE", 1)
    monkeypatch.setattr(parallel, "_num_cpus", lambda: 3)
    assert run(mixed) == alone
    assert {path.name: path.read_bytes() for path in (mixed.out / "corpus").iterdir()} == files
    assert (mixed.out / "mixture.json").read_bytes() == mixture


def test_a_failed_mix_leaves_the_earlier_corpus(mixed, mix_of, tmp_path):
    run(mixed)
    before = digest(read_corpus(mixed.out))
    path = records(tmp_path / "long.jsonl", ("a", "b" * 900))
    with pytest.raises(DataError, match="none of the 1 agent conversations"):
        run(mix_of(agent=[path], eta=1))
    assert digest(read_corpus(mixed.out)) == before
    assert not list(tmp_path.glob(".*"))


def test_the_agent_side_takes_files_by_their_name_or_another(mix_of, tmp_path):
    path = records(tmp_path / "talk.jsonl", ("a", "b"), ("c", "d"))
    assert run(mix_of(agent=[path], eta=1)).training == {"talk": 2}
    config = mix_of(agent=[f"web={path}", f"os={path}"], eta=1)
    assert run(config).training == {"web": 2, "os": 2}
    assert read_corpus(config.out).agent == ("web", "os")


def test_a_side_that_nothing_is_drawn_from_is_not_needed(mix_of, attempts, chats):
    agent, general = [attempts("first", 4, envs=("count",))], [chats("chats.jsonl", 5)]
    assert run(mix_of(general=general, eta=0)).realised == {"chats": 1.0}
    assert run(mix_of(agent=agent, eta=1)).realised == {"count": 1.0}
    with pytest.raises(UsageError, match="agent"):
        run(mix_of(general=general))


def test_what_became_of_a_side_that_is_rejected_whole_is_said(mix_of, attempts, tmp_path):
    path = records(tmp_path / "long.jsonl", ("a", "b" * 300), ("a", "b" * 350))
    with pytest.raises(DataError) as caught:
        run(mix_of(agent=[attempts("first", 4)], general=[path], max_length=200))
    assert "none of the 2 general conversations" in caught.value.what
    assert "'too_long': 2" in caught.value.why and "long.jsonl:1" in caught.value.why
    assert "mix.max_length, now 200" in caught.value.fix


def test_samples_beyond_the_context_of_the_model_are_rejected_each_by_name(mix_of, attempts, tmp_path):
    path = records(tmp_path / "chats.jsonl", ("a", "b" * 450), ("a", "b"), ("a", "b"))
    config = mix_of(agent=[attempts("first", 4)], general=[path])
    assert run(config).rejected["chats"] == {"too_long": 1}
    (line,) = (config.out / REJECTED).read_text().splitlines()
    found = json.loads(line)
    assert (found["source"], found["place"]) == ("chats", "chats.jsonl:1")
    assert "max_length 400" in found["detail"]


def test_a_side_without_a_source_is_refused_before_anything_is_read(mix_of, tmp_path):
    path = tmp_path / "broken.jsonl"
    path.write_text("{")
    with pytest.raises(UsageError, match="the general side is empty"):
        run(mix_of(agent=[path], eta=0.5))
    weightless = [Source(path=path, weight=0), Source(path=path, name="b", weight=0)]
    with pytest.raises(UsageError, match="its weights sum to 0"):
        run(mix_of(sources=weightless, eta=1))


def test_what_was_read_of_runs_that_share_a_name_is_counted_once(mix_of, attempts):
    paths = [attempts(name, 4, envs=("count",)) for name in ("first", "second")]
    with pytest.raises(DataError, match="none of the 8 agent conversations"):
        run(mix_of(agent=paths, eta=1, max_length=64))
