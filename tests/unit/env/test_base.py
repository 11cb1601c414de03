"""What a subclass of `TextEnvironment` need not write."""

from itertools import islice

import pytest

from agentray.config import RolloutConfig
from agentray.env import TextEnvironment, check_environment, fingerprint
from agentray.env.count import Count, CountGame
from agentray.errors import UsageError
from agentray.rollout import tasks
from agentray.rollout.run import run
from agentray.types import SPLITS, EnvSpec, Message, Task


class Least(TextEnvironment):
    """All that is mandatory.

    This is not in the list.
    """

    id = "count"

    def tasks(self, split, start=0):
        first = 300 * SPLITS.index(split)
        for number in range(first + start, first + 5):
            data = {"start": number, "goal": number + 1}
            yield Task(self.id, f"{split}/{number}", split, data, fingerprint(data))

    def make(self):
        return CountGame()


def test_tasks_and_make_are_enough():
    environment = Least()
    task = next(environment.tasks("test"))
    assert environment.description == "All that is mandatory"
    assert (environment.family, environment.version, environment.max_turns) == ("held_in", "1", 16)
    assert environment.instruction(task) == () and environment.summarize([{"a": 1.0}]) == {}
    assert list(environment.diagnose(None)) == [] and environment.error_types == ()
    check_environment(EnvSpec("count", f"{__name__}:Least"))


def test_rules_come_before_the_first_observation():
    class Ruled(Least):
        rules = "Count."

    task = next(Ruled().tasks("test"))
    assert Ruled().instruction(task) == (Message("user", "Count."), Message("assistant", "Ok."))


@pytest.mark.parametrize("policy", ["expert", "random"])
def test_a_policy_that_an_environment_does_not_bring_is_refused_before_anything_is_written(
    tmp_path, monkeypatch, policy
):
    monkeypatch.setattr(tasks, "resolve", lambda name, settings: EnvSpec("count", f"{__name__}:Least"))
    config = RolloutConfig(envs=["count"], policy=policy, num_workers=0, out=tmp_path / "run")
    with pytest.raises(UsageError, match=r"'count' has no (expert|random replies)(?s:.)*--policy"):
        run(config)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"max_turns": 1}, "setting 'env.count.max_turns' is 1"),
        ({"max_turns": "8"}, "setting 'env.count.max_turns' is '8'"),
        ({"max_turns": True}, "setting 'env.count.max_turns' is True"),
        ({"length": 0}, "setting 'env.count.length' is 0"),
        ({"size": 3}, "unknown setting 'env.count.size'"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_named(settings, what):
    with pytest.raises(UsageError) as caught:
        Count(**settings)
    assert caught.value.what == what


def test_a_class_without_tasks_cannot_be_built():
    class Nothing(TextEnvironment):
        id = "count"

    with pytest.raises(TypeError, match="tasks"):
        Nothing()


def test_optional_members_are_known_by_their_class():
    assert Count().brings("expert") and not Count().brings("rescore") and not Least().brings("expert")


def test_a_game_refuses_a_step_before_its_start_and_after_its_end():
    game = CountGame()
    with pytest.raises(RuntimeError, match="reset"):
        game.step("Action: 1")
    with pytest.raises(ValueError, match="no task"):
        game.reset(seed=1)
    task = next(islice(Least().tasks("test"), 1))
    game.reset(options={"task": task})
    assert game.step("Action: 0")[2]
    with pytest.raises(RuntimeError, match="after the end"):
        game.step("Action: 1")
