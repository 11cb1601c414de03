import asyncio
from dataclasses import replace

import numpy
import pytest
from fakes import ScriptedPolicy

from agentray.data.journal import Assembler, ended
from agentray.data.records import from_row
from agentray.env.count import Count, CountGame
from agentray.errors import ContextLimitError
from agentray.rollout.episode import Episode
from agentray.rollout.hosting import Host
from agentray.rollout.protocol import Assignment
from agentray.types import Attempt, EnvSpec, Reply, Sampling

FIRST = next(t for t in Count().tasks("train") if t.data["goal"] - t.data["start"] == 2)
ATTEMPT = Attempt(FIRST, 0, 5, "scripted", 0.5)


class Journal:
    """Keeps what an episode writes."""

    def __init__(self):
        self.entries = []

    def write(self, entry):
        self.entries.append(entry)

    async def durable(self):
        pass


def play(policy, environment=None, *, timeout_s=5.0, recorded=()):
    """The result, the trajectory that its journal lines make, and the journal."""

    async def run():
        host = Host(EnvSpec("count", "agentray.env.count:Count"), environment or Count())
        journal = Journal()
        assignment = Assignment(ATTEMPT, 1, tuple(recorded))
        result = await Episode(assignment, host, policy, Sampling(max_tokens=7), timeout_s, journal).run()
        await host.close()
        return result, journal.entries

    result, entries = asyncio.run(run())
    assembler, rows = Assembler(), []
    end = ended(result.key, result.lease, result, result.num_turns)
    for line in [*recorded, *(entry.line for entry in entries), end.line]:
        rows.append(assembler.add(line))
    made = from_row(rows[-1]) if rows[-1] else None
    return result, made, entries


def numbers(*offsets):
    return [f"Action: {FIRST.data['start'] + offset}" for offset in offsets]


def test_a_won_game_is_completed_with_its_reward_and_turns():
    policy = ScriptedPolicy(*numbers(1, 2))
    result, made, entries = play(policy)
    assert (made.status, made.reward, len(made.turns)) == ("completed", 1.0, 2)
    assert made.turns[-1].observation == ""
    assert [each.role for each in policy.seen[1]] == ["user", "assistant", "user", "assistant", "user"]
    assert made.task == FIRST and made.seed == 5 and made.key == f"count:{FIRST.id}#0@scripted"
    assert made.temperature == 0.5
    assert [entry.kind for entry in entries] == ["begin", "turn", "turn"]
    assert (result.reward, result.num_turns, result.fault) == (1.0, 2, None)


def test_a_lost_game_is_completed_with_reward_0():
    _, made, _ = play(ScriptedPolicy("Action: 0"))
    assert (made.status, made.reward) == ("completed", 0.0)


@pytest.mark.parametrize("reward", [float("nan"), float("inf")])
def test_a_reward_that_is_no_number_fails_the_environment_and_is_never_averaged(reward):
    class Odd(CountGame):
        def step(self, action):
            observation, _, terminated, truncated, info = super().step(action)
            return observation, reward, terminated, truncated, info

    environment = Count()
    environment.make = Odd
    result, made, _ = play(ScriptedPolicy(*numbers(1, 2)), environment)
    assert (result.status, result.reward, result.fault) == ("failed", None, "environment")
    assert f"reward {reward}" in made.error


class Short(Count):
    max_turns = 1


def test_max_turns_truncates_but_keeps_the_turns():
    limited = Short()
    _, made, _ = play(ScriptedPolicy(*numbers(1)), limited)
    assert (made.status, made.reward, len(made.turns), made.error) == ("truncated", 0.0, 1, "1 turns")


def test_a_policy_that_cannot_answer_is_a_failure_not_a_zero():
    result, made, _ = play(ScriptedPolicy(*numbers(1)))
    assert (made.status, made.reward, len(made.turns)) == ("failed", None, 1)
    assert "no reply is left" in made.error and result.fault == "refused"


def test_a_full_context_truncates():
    full = ContextLimitError("3000 tokens", "2048 fit", "raise it")
    _, made, _ = play(ScriptedPolicy(*numbers(1), full))
    assert (made.status, made.reward, len(made.turns)) == ("truncated", 0.0, 1)
    assert made.context_full and made.error == "ContextLimitError: 3000 tokens"


class Slow(ScriptedPolicy):
    async def act(self, messages, sampling, info):
        await asyncio.sleep(60)
        return Reply("")


def test_no_wait_is_longer_than_the_episodes_deadline():
    result, made, _ = play(Slow(), timeout_s=0.05)
    assert made.status == "failed" and made.reward is None
    assert "longer than 0.05 s" in made.error and result.fault == "policy"


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
    result, _, _ = play(ScriptedPolicy(*numbers(1, 2)), environment)
    assert (result.status, result.reward, result.fault) == ("failed", None, "environment")
    assert result.error.startswith("OSError")


class OddGame(CountGame):
    """Plays on, after it has said something odd."""

    def __init__(self, odd):
        super().__init__()
        self._odd = odd

    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        return self._odd.get("observation", observation), reward, terminated, truncated, {**info, **self._odd}


def odd_environment(**odd):
    environment = Count()
    environment.make = lambda: OddGame(odd)
    return environment


def test_metrics_may_be_numbers_of_any_kind():
    metrics = {"score": numpy.float32(0.5), 7: numpy.int64(3)}
    _, made, _ = play(ScriptedPolicy(*numbers(1, 2)), odd_environment(metrics=metrics))
    assert (made.status, made.metrics) == ("completed", {"score": 0.5, "7": 3.0})


def test_half_a_surrogate_pair_enters_no_record():
    half = "caf\udce9"
    odd = odd_environment(observation=half, action=half)
    _, made, _ = play(ScriptedPolicy(f"{half} {numbers(1)[0]}", *numbers(2)), odd)
    first = made.turns[0]
    assert (first.reply.text[:4], first.observation, first.action) == ("caf?", "caf?", "caf?")
    broken = ScriptedPolicy(OSError(f"no such file: {half}"))
    result, made, _ = play(broken)
    assert result.error == made.error == "OSError: no such file: caf?"


@pytest.mark.parametrize("odd", [{"action": ("north", 2)}, {"observation": 7}])
def test_what_is_no_text_where_text_belongs_is_a_failure_of_the_environment(odd):
    result, made, _ = play(ScriptedPolicy(*numbers(1, 2)), odd_environment(**odd))
    assert (made.status, made.turns, result.fault) == ("failed", (), "environment")
    assert "where text belongs" in made.error


def test_an_environments_own_time_out_is_not_the_episodes_deadline():
    class TimedOut(CountGame):
        def step(self, action):
            raise TimeoutError("the database did not answer within 5 s")

    environment = Count()
    environment.make = TimedOut
    result, _, _ = play(ScriptedPolicy(*numbers(1, 2)), environment)
    assert result.error == "TimeoutError: the database did not answer within 5 s"


def test_an_error_that_cannot_say_what_it_is_is_a_failure_all_the_same():
    class Mute(Exception):
        def __str__(self):
            raise AttributeError("no message")

    result, _, _ = play(ScriptedPolicy(Mute()))
    assert result.status == "failed" and result.error.startswith("Mute")


def test_an_interrupted_game_goes_on_after_its_recorded_turns():
    _, whole, entries = play(ScriptedPolicy(*numbers(1, 2)))
    policy = ScriptedPolicy(*numbers(2))
    result, made, _ = play(policy, recorded=[entry.line for entry in entries[:2]])
    assert replace(made, duration_s=0.0, turns=()) == replace(whole, duration_s=0.0, turns=())
    assert [turn.state for turn in made.turns] == [turn.state for turn in whole.turns]
    assert (result.replayed, result.mismatch, len(policy.seen)) == (1, None, 1)
    assert [message.content for message in policy.seen[0]][-2:] == [
        whole.turns[0].reply.text,
        whole.turns[0].observation,
    ]


def test_a_game_that_ended_before_it_was_reported_asks_nothing():
    _, whole, entries = play(ScriptedPolicy(*numbers(1, 2)))
    policy = ScriptedPolicy()
    result, made, written = play(policy, recorded=[entry.line for entry in entries])
    assert (made.status, made.reward, made.turns) == ("completed", 1.0, whole.turns)
    assert policy.seen == [] and written == [] and result.replayed == 2


def test_a_recorded_state_that_does_not_come_again_starts_the_game_anew():
    _, _, entries = play(ScriptedPolicy(*numbers(1, 2)))
    lines = [entry.line for entry in entries[:2]]
    lines[1] = lines[1].replace(b'"state":"', b'"state":"0')
    result, made, written = play(ScriptedPolicy(*numbers(1, 2)), recorded=lines)
    assert (made.status, len(made.turns), result.replayed) == ("completed", 2, 0)
    assert result.mismatch == "the state after turn 1 differs"
    assert [entry.kind for entry in written] == ["begin", "turn", "turn"]


def test_sampled_ids_go_back_to_the_policy_with_the_reply():
    class Sampling2(ScriptedPolicy):
        async def act(self, messages, sampling, info):
            assert (sampling.seed, sampling.temperature, sampling.max_tokens) == (5, 0.5, 7)
            reply = await super().act(messages, sampling, info)
            return replace(reply, token_ids=(1, 2, 3))

    policy = Sampling2(*numbers(1, 2))
    play(policy)
    assert policy.seen[1][-2].token_ids == (1, 2, 3)
