"""What may be mixed: names that tell sources apart, and agent data that is for training."""

import json
import shlex

import pytest

from agentray.config import MixConfig, Source, load
from agentray.env.count import Count
from agentray.errors import DataError, UsageError
from agentray.mix.run import run


def test_general_sources_of_one_name_are_refused_with_an_option_that_names_them(mix_of, attempts, chats):
    paths = [chats("a/chats.jsonl", 7), chats("b/chats.jsonl", 20)]
    config = mix_of(agent=[attempts("first", 4, envs=("count",))], general=paths)
    with pytest.raises(UsageError, match="two general sources are called 'chats'") as caught:
        run(config)
    override = shlex.split(caught.value.fix.partition("--set ")[2])
    summary = run(load(MixConfig, "mix", overrides=override, values=config.model_dump()))
    assert summary.read == {"first-1": 4, "chats-2": 7, "chats-3": 20}


def test_agent_sources_of_one_name_are_one_unless_they_are_weighed(mix_of, attempts):
    paths = [attempts("first", 4, envs=("count",)), attempts("second", 3, envs=("count",))]
    assert run(mix_of(agent=paths, eta=1)).read == {"count": 7}
    weighed = [Source(path=paths[0]), Source(path=paths[1], weight=2)]
    with pytest.raises(UsageError, match="two agent sources are called 'count'"):
        run(mix_of(sources=weighed, eta=1))


def test_a_name_is_on_one_side(mix_of, attempts, chats):
    config = mix_of(agent=[attempts("first", 4, envs=("count",))], general=[chats("count.jsonl", 4)])
    with pytest.raises(DataError, match="on the agent and on the general side"):
        run(config)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"env": "cuont"}, "of env 'cuont'"), ({"policy": "exper"}, "of policy 'exper'")],
)
def test_a_selection_of_nothing_names_what_is_there(mix_of, attempts, changes, said):
    with pytest.raises(UsageError, match=said) as caught:
        run(mix_of(sources=[Source(path=attempts("first", 4), **changes)], eta=1))
    assert "count" in caught.value.why or "expert" in caught.value.why


def test_a_source_that_does_not_exist_is_refused_before_others_are_read(mix_of, tmp_path):
    (tmp_path / "broken.jsonl").write_text("{")
    with pytest.raises(UsageError, match="no file or directory"):
        run(mix_of(agent=[tmp_path / "broken.jsonl", tmp_path / "absent"], eta=1))


def test_a_file_has_no_environments_to_select_from(mix_of, chats):
    with pytest.raises(UsageError, match="is a file of conversations"):
        run(mix_of(sources=[Source(path=chats("a.jsonl", 3), env="count")], eta=1))


def test_trajectories_that_are_not_for_training_are_refused_unless_their_split_is_allowed(mix_of, attempts):
    path = attempts("first", 4, split="test")
    with pytest.raises(UsageError, match=r"4 trajectories of .* are not for training") as caught:
        run(mix_of(agent=[path], eta=1))
    assert "of split test" in caught.value.why
    override = shlex.split(caught.value.fix.partition("--set ")[2])
    values = mix_of(agent=[path], eta=1).model_dump()
    assert sum(run(load(MixConfig, "mix", overrides=override, values=values)).read.values()) == 4


def test_the_general_side_takes_any_split(mix_of, attempts):
    assert run(mix_of(general=[attempts("first", 4, split="test")], eta=0)).read == {"first": 4}


def test_held_out_environments_are_never_trained_on(mix_of, attempts, monkeypatch):
    path = attempts("first", 6)
    monkeypatch.setattr(Count, "family", "held_out")
    with pytest.raises(UsageError, match="'count', which is held out"):
        run(mix_of(agent=[path], eta=1, allow_splits=["train", "test"]))
    assert run(mix_of(sources=[Source(path=path, env="other")], eta=1)).unchecked == ["other"]


def test_environments_that_are_not_installed_are_named_as_unchecked(mix_of, attempts):
    assert run(mix_of(agent=[attempts("first", 6)], eta=1)).unchecked == ["other"]


def test_a_shard_that_cannot_be_read_is_named(mix_of, attempts):
    path = attempts("first", 4)
    shard = path / "shard-000001.parquet"
    shard.write_bytes(b"PAR1 half a shard")
    config = mix_of(agent=[path], eta=1)
    assert [shard.name in each for each in run(config).set_aside] == [True]
    (path / "shard-000000.parquet").unlink()
    with pytest.raises(DataError, match=r"no trajectory that can be read(.|\n)*shard-000001"):
        run(config)


def test_a_file_without_a_conversation_is_an_error_that_says_why(mix_of, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"messages": [{"role": "user", "content": "a"}]}))
    with pytest.raises(DataError, match="holds no conversation") as caught:
        run(mix_of(general=[path], eta=0))
    assert "'no_reply': 1" in caught.value.why and "a.jsonl:1" in caught.value.why


def test_options_replace_the_sources_of_their_side(tmp_path):
    file = tmp_path / "mix.toml"
    file.write_text(
        '[mix]\nout = "o"\nmodel = "m"\n[[mix.sources]]\npath = "a"\nweight = 2\n'
        '[[mix.sources]]\npath = "g"\nside = "general"\n'
    )
    config = load(MixConfig, "mix", file=file, values={"agent": ["web=b"]})
    found = {(each.side, each.name, str(each.path), each.weight) for each in config.sources}
    assert found == {("agent", "web", "b", None), ("general", "g", "g", None)}
