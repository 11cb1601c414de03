"""One contract for every installed environment, ours and third parties' alike."""

from dataclasses import replace

import gymnasium
import pytest

from agentray.env import build, check_environment, names, resolve
from agentray.env.count import Count, CountGame
from agentray.errors import DataError, MissingDependencyError, UsageError
from agentray.types import EnvSpec


@pytest.mark.parametrize("name", names())
def test_every_installed_environment_keeps_the_contract(name):
    check_environment(resolve(name))


class Forgetful(CountGame):
    def step(self, action):
        self._running = True
        return super().step(action)


class NeverEnds(Count):
    def make(self):
        return Forgetful()


class SharedTasks(Count):
    def tasks(self, split, start=0):
        for task in super().tasks("train", start):
            yield replace(task, id=f"{split}/{task.data['start']}", split=split)

    def check_task(self, task):
        pass


class Silent(CountGame):
    def play(self, reply):
        return (*super().play(reply)[:4], {})


class TellsNoAction(Count):
    def make(self):
        return Silent()


class RefusesItsOwn(Count):
    def fingerprint(self, data):
        return "another"


class Babbles(Count):
    def random_reply(self, info, rng):
        return "any number"


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (NeverEnds, "step"),
        (SharedTasks, "is in train and"),
        (TellsNoAction, "no info['action']"),
        (RefusesItsOwn, "check_task refuses it"),
        (Babbles, "no action was found"),
    ],
)
def test_a_broken_promise_is_named(kind, why):
    with pytest.raises(DataError) as caught:
        check_environment(EnvSpec("count", f"{__name__}:{kind.__name__}"))
    assert why in caught.value.why


def test_an_unknown_environment_names_the_closest():
    with pytest.raises(UsageError, match="did you mean 'count'"):
        resolve("counts")


def test_wrong_settings_and_missing_modules_are_explained():
    with pytest.raises(
        UsageError, match=r"unknown setting 'env.count.max_turn'(?s:.)*did you mean 'max_turns'"
    ):
        build(resolve("count", {"max_turn": 3}))
    with pytest.raises(MissingDependencyError):
        build(EnvSpec("x", "no_such_module:X"))
    with pytest.raises(MissingDependencyError):
        build(EnvSpec("x", "agentray.env.count:X"))


@pytest.mark.parametrize("id_", ["agentray/Database-v0", "agentray/Alfworld-v0"])
def test_the_plugins_are_gymnasium_environments_too(id_):
    import agentray_alfworld  # noqa: F401
    import agentray_database  # noqa: F401

    env = gymnasium.make(id_)
    observation, _ = env.reset(seed=3)
    assert env.observation_space.contains(observation)
    env.close()
