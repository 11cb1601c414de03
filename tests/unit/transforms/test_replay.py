"""One stored attempt under other rules: what follows from the record, and what does not."""

import asyncio
import threading
from dataclasses import replace

import pytest
from fakes import trajectory

from agentray.env import Hosting
from agentray.env.count import Count, CountGame
from agentray.rollout.episode import digest
from agentray.rollout.hosting import Host
from agentray.transforms.replay import rescore
from agentray.types import EnvSpec, Message, Reply, Turn


def recorded(*numbers, goal=2, **changes):
    """The record of an attempt to count from 0 to the goal, as `Count` answers it."""
    task = trajectory().task
    task = type(task)(task.env, task.id, task.split, {"start": 0, "goal": goal}, task.fingerprint)
    game, turns = CountGame(), []
    observation, _ = game.reset(seed=0, options={"task": task})
    prompt = (*Count().instruction(task), Message("user", observation))
    for number in numbers:
        reply = Reply(f"Action: {number}", token_ids=(number,))
        observation, reward, terminated, _, info = game.step(reply.text)
        state = digest(observation, reward, terminated, info)
        turns.append(Turn(reply, info["action"], "" if terminated else observation, reward, state))
    values = {"task": task, "prompt": prompt, "turns": tuple(turns), "metrics": {}}
    values |= {"reward": sum(turn.reward for turn in turns), "status": "completed"}
    return trajectory(**(values | changes))


def verdict(record, kind=Count, timeout_s=60.0, **settings):
    async def rescored():
        host = Host(EnvSpec("count", f"{kind.__module__}:{kind.__qualname__}", settings))
        try:
            return await rescore(record, host, timeout_s)
        finally:
            await host.close()

    return asyncio.run(rescored())


def variant(step):
    """A game whose `step` is changed by this function of the five values."""

    class Game(CountGame):
        def step(self, action):
            return step(*super().step(action))

    return Game


HalfGame = variant(lambda text, reward, *ending: (text, reward / 2, *ending))
WordyGame = variant(lambda text, *rest: (f"{text}, well done", *rest))
RenamedGame = variant(
    lambda text, reward, over, cut, info: (text, reward, over, cut, {"action": f"say {info['action']}"})
)
EagerGame = variant(lambda text, reward, over, cut, info: (text, 1.0, True, cut, info))
EndlessGame = variant(lambda text, reward, over, cut, info: (text, reward, False, cut, info))


class Half(Count):
    def make(self):
        return HalfGame()


class Wordy(Count):
    def make(self):
        return WordyGame()


class Renamed(Count):
    def make(self):
        return RenamedGame()


class Eager(Count):
    def make(self):
        return EagerGame()


class Endless(Count):
    def make(self):
        return EndlessGame()


class Unrepeatable(Count):
    hosting = Hosting("inline")


class Judged(Unrepeatable):
    def rescore(self, trajectory):
        return 0.25 if len(trajectory.turns) > 1 else None


class Agreeing(Unrepeatable):
    def rescore(self, trajectory):
        return trajectory.reward


class Broken(Count):
    def make(self):
        raise OSError("no engine")


RELEASE = threading.Event()


class HangingGame(CountGame):
    def step(self, action):
        RELEASE.wait(30)
        return super().step(action)


class Hanging(Count):
    hosting = Hosting("thread", replayable=True)

    def make(self):
        return HangingGame()


def test_equal_rules_give_an_equal_record_and_keep_the_old_reward():
    record = recorded(1, 2)
    found = verdict(record)
    assert not found.changed and found.turn is None
    assert found.after.turns == record.turns
    assert (found.after.reward, found.after.metrics) == (1.0, {"reward_before": 1.0})
    assert found.after.key == record.key


def test_a_new_reward_is_scored_and_the_turn_that_shows_it_is_named():
    found = verdict(recorded(1, 2), Half)
    assert found.changed and found.turn == 1
    assert (found.after.reward, found.after.metrics["reward_before"]) == (0.5, 1.0)


def test_an_equal_verdict_leaves_the_rewards_of_the_turns_as_they_are():
    turns = tuple(replace(trajectory().turns[0], reward=each) for each in (0.1, 0.2, 0.3))
    found = verdict(recorded(turns=turns, reward=0.1 + 0.2 + 0.3), Agreeing)
    assert not found.changed and found.after.turns == turns


def test_a_new_parser_that_changes_no_observation_is_followed_to_the_end():
    found = verdict(recorded(1, 2), Renamed)
    assert found.changed and found.turn == 0
    assert [turn.action for turn in found.after.turns] == ["say 1", "say 2"]
    assert found.after.turns[0].reply.token_ids == (1,)


def test_another_observation_is_refused_because_the_next_reply_answered_something_else():
    found = verdict(recorded(1, 2, 3, goal=3), Wordy)
    assert (found.after, found.reason, found.turn) == (None, "other_observation", 0)
    assert found.detail == "the observation after turn 1 of 3 differs"


def test_another_first_observation_is_refused():
    record = recorded(1, 2)
    found = verdict(recorded(1, 2, prompt=(*record.prompt[:-1], Message("user", "Count, please."))))
    assert (found.after, found.reason) == (None, "other_start")
    assert verdict(recorded(1, 2, prompt=())).reason == "other_start"


def test_an_environment_that_ends_sooner_leaves_out_the_later_replies():
    found = verdict(recorded(1, 2, 3, goal=3), Eager)
    assert (found.after.reward, found.after.status, len(found.after.turns)) == (1.0, "completed", 1)
    assert found.after.turns[0].observation == ""


def test_a_lower_turn_limit_truncates():
    found = verdict(recorded(1, 2, 3, goal=3), Count, max_turns=2)
    assert (found.after.reward, found.after.status, found.after.error) == (0.0, "truncated", "2 turns")


def test_a_record_that_ends_before_the_environment_does_is_refused():
    found = verdict(recorded(1, 2), Endless)
    assert (found.after, found.reason) == (None, "goes_on")
    used_up = recorded(1, 2, goal=5, status="truncated", error="2 turns")
    assert verdict(used_up, Count, max_turns=8).reason == "goes_on"
    assert not verdict(used_up, Count, max_turns=2).changed


def test_a_conversation_that_no_longer_fitted_ends_where_it_did():
    full = recorded(1, goal=5, status="truncated", error="ContextLimitError: 96 tokens")
    found = verdict(full)
    assert not found.changed and found.after.error == full.error
    assert not verdict(recorded(goal=5, status="truncated", error="context limit: 96 tokens")).changed


def test_records_of_the_first_schema_are_compared_without_digests():
    record = recorded(1, 2)
    plain = tuple(Turn(t.reply, t.action, t.observation, t.reward) for t in record.turns)
    found = verdict(recorded(1, 2, turns=plain))
    assert not found.changed and found.turn is None
    assert verdict(recorded(1, 2, turns=plain), Half).turn == 1


def test_what_an_infrastructure_failure_ended_stays_as_it_is():
    lost = recorded(1, reward=None, status="failed", error="lost")
    assert verdict(lost, Unrepeatable).after is lost


def test_an_environment_that_cannot_be_replayed_is_refused():
    assert verdict(recorded(1, 2), Unrepeatable).reason == "not_replayable"


def test_an_environment_may_judge_the_record_alone():
    found = verdict(recorded(1, 2), Judged)
    assert (found.after.reward, found.after.metrics["reward_before"]) == (0.25, 1.0)
    assert sum(turn.reward for turn in found.after.turns) == 0.25
    assert verdict(recorded(7), Judged).reason == "no_verdict"


def test_an_environment_that_fails_refuses_only_its_attempt():
    found = verdict(recorded(1, 2), Broken)
    assert (found.reason, found.detail) == ("environment_failed", "OSError('no engine')")


def test_an_environment_that_hangs_is_given_up():
    try:
        found = verdict(recorded(1, 2), Hanging, timeout_s=0.05)
    finally:
        RELEASE.set()
    assert (found.reason, found.detail) == ("environment_failed", "longer than 0.05 s")


@pytest.mark.parametrize("kind", [Half, Renamed, Judged])
def test_scoring_twice_comes_to_the_same(kind):
    once = verdict(recorded(1, 2), kind).after
    twice = verdict(once, kind)
    assert not twice.changed and twice.after.reward == once.reward
