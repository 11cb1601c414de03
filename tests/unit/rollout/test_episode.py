import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fakes import ScriptedPolicy

from agentray.env.count import Count, CountGame
from agentray.errors import PolicyError
from agentray.rollout.episode import Attempt, Episode, Limits
from agentray.types import Reply, Sampling

FIRST = next(t for t in Count().tasks("train") if t.data["goal"] - t.data["start"] == 2)


def play(policy, environment=None, **limits):
    environment = environment or Count()
    attempt = Attempt("count", FIRST, 0, 5, "scripted")
    limits = Limits(**({"turn_timeout_s": 5.0, "episode_timeout_s": 5.0} | limits))
    with ThreadPoolExecutor(2) as executor:
        episode = Episode(attempt, environment, policy, Sampling(), limits, executor)
        return asyncio.run(episode.run())


def numbers(task, *offsets):
    return [f"Action: {task.data['start'] + offset}" for offset in offsets]


def test_a_won_game_is_completed_with_its_reward_and_turns():
    policy = ScriptedPolicy(*numbers(FIRST, 1, 2))
    made = play(policy)
    assert (made.status, made.reward, len(made.turns)) == ("completed", 1.0, 2)
    assert made.turns[-1].observation == ""
    assert [each.role for each in policy.seen[1]] == ["user", "assistant", "user", "assistant", "user"]
    assert made.task == FIRST and made.seed == 5 and made.key == f"count:{FIRST.id}#0@scripted"


def test_a_lost_game_is_completed_with_reward_0():
    made = play(ScriptedPolicy("Action: 0"))
    assert (made.status, made.reward) == ("completed", 0.0)


def test_max_turns_truncates_but_keeps_the_turns():
    limited = Count()
    limited.max_turns = 1
    made = play(ScriptedPolicy(*numbers(FIRST, 1)), limited)
    assert (made.status, made.reward, len(made.turns), made.error) == ("truncated", 0.0, 1, "1 turns")


def test_a_policy_that_cannot_answer_is_a_failure_not_a_zero():
    made = play(ScriptedPolicy(*numbers(FIRST, 1)))
    assert (made.status, made.reward, len(made.turns)) == ("failed", None, 1)
    assert "no reply is left" in made.error


def test_a_full_context_truncates():
    full = PolicyError("context limit: 3000 tokens", "2048 fit", "raise it")
    made = play(ScriptedPolicy(*numbers(FIRST, 1), full))
    assert (made.status, made.reward, len(made.turns)) == ("truncated", 0.0, 1)


class Slow(ScriptedPolicy):
    async def act(self, messages, sampling):
        await asyncio.sleep(60)
        return Reply("")


@pytest.mark.parametrize("limit", ["turn_timeout_s", "episode_timeout_s"])
def test_no_wait_is_longer_than_its_deadline(limit):
    started = time.monotonic()
    made = play(Slow(), **{limit: 0.05})
    assert made.status == "failed" and made.reward is None
    assert time.monotonic() - started < 30


class BrokenGame(CountGame):
    def __init__(self, where):
        super().__init__()
        self.where = where

    def reset(self, **kwargs):
        if self.where == "reset":
            raise OSError("no display")
        return super().reset(**kwargs)

    def step(self, action):
        if self.where == "step":
            raise OSError("the browser died")
        return super().step(action)


@pytest.mark.parametrize("where", ["reset", "step"])
def test_a_broken_environment_is_a_failure_with_its_cause(where):
    environment = Count()
    environment.make = lambda: BrokenGame(where)
    made = play(ScriptedPolicy(*numbers(FIRST, 1, 2)), environment)
    assert (made.status, made.reward) == ("failed", None)
    assert made.error.startswith("OSError")
