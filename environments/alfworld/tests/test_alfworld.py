"""The plugin: contract, tasks, episodes, expert and scores."""

import gzip
import itertools
import pickle
import random

import gymnasium
import pytest

from agentray.env import Finding, check_environment, resolve
from agentray.errors import DataError, UsageError
from agentray.types import SPLITS, Message, Reply, Trajectory, Turn
from agentray_alfworld import Alfworld
from agentray_alfworld.goals import TYPES, Goal, goals
from agentray_alfworld.tables import HOLDS, LIKELY, ROOMS

NUM_TASKS = 500


def first_tasks(split, count=NUM_TASKS):
    return itertools.islice(Alfworld().tasks(split), count)


def play(environment, task, choose):
    """One episode; `choose` gets the messages and the last info. Returns messages, reward, flags and info."""
    env = environment.make()
    observation, info = env.reset(seed=0, options={"task": task})
    messages = [*environment.instruction(task), Message("user", observation)]
    while True:
        messages.append(Message("assistant", choose(messages, info), loss=True))
        observation, reward, terminated, truncated, info = env.step(messages[-1].content)
        messages.append(Message("user", observation))
        if terminated or truncated:
            return messages, reward, truncated, info


def test_it_keeps_the_contract():
    check_environment(resolve("alfworld"))


@pytest.mark.parametrize("split", SPLITS)
def test_the_expert_wins_within_the_turn_limit_and_a_random_agent_does_not(split):
    environment = Alfworld()
    expert_wins = random_wins = 0.0
    for task in first_tasks(split):
        expert, rng = environment.expert(task), random.Random(task.id)
        expert_wins += play(environment, task, lambda messages, info, act=expert: act(messages))[1]
        random_wins += play(environment, task, lambda m, info, rng=rng: environment.random_reply(info, rng))[
            1
        ]
    assert expert_wins >= 0.99 * NUM_TASKS
    assert random_wins < 0.05 * NUM_TASKS


def test_the_six_types_take_turns_and_no_task_is_won_at_the_start():
    tasks = list(first_tasks("train", 60))
    assert [task.data["goal"]["type"] for task in tasks] == [*TYPES] * 10
    for task in tasks:
        _, reward, truncated, _ = play(Alfworld(max_turns=2), task, lambda m, info: f"ACTION: look{len(m)}")
        assert (reward, truncated) == (0.0, True)


def test_no_goal_is_in_two_splits_and_every_object_to_test_is_trained_on():
    found = {split: {goal for each in goals(split).values() for goal in each} for split in SPLITS}
    for one, other in itertools.combinations(SPLITS, 2):
        assert not found[one] & found[other]
    assert all(goals(split)[task_type] for split in SPLITS for task_type in TYPES)
    assert {goal.object for goal in found["test"]} <= {goal.object for goal in found["train"]}
    seen = {split: {task.fingerprint for task in first_tasks(split)} for split in SPLITS}
    assert all(len(prints) == NUM_TASKS for prints in seen.values())


def test_tasks_depend_on_split_and_index_only():
    assert list(first_tasks("test", 12)) == list(first_tasks("test", 12))


def test_rooms_have_six_to_twelve_receptacles():
    sizes = {len(task.data["receptacles"]) for task in first_tasks("train")}
    assert min(sizes) >= 6
    assert max(sizes) <= 12


def test_the_tables_agree_with_each_other():
    for room in ROOMS.values():
        assert set(room.kinds) <= HOLDS.keys()
        for thing in room.objects:
            homes = LIKELY[thing] & set(room.kinds)
            assert homes, thing
            assert all(thing in HOLDS[kind] for kind in homes), thing


def test_the_instruction_is_short_and_the_acknowledgement_carries_no_loss():
    rules, ready = Alfworld().instruction(next(first_tasks("train", 1)))
    assert len(rules.content) / 4 < 130
    assert (ready.role, ready.loss) == ("assistant", False)


def test_an_unknown_action_does_nothing():
    env = Alfworld().make()
    env.reset(options={"task": next(first_tasks("train", 1))})
    observation, reward, _, _, info = env.step("THOUGHT: let me see.\nACTION: sing loudly")
    assert (observation, reward, info["action"]) == ("Nothing happens.", 0.0, "sing loudly")


def test_three_identical_replies_end_the_episode():
    task = next(first_tasks("train", 1))
    messages, reward, truncated, info = play(Alfworld(), task, lambda m, info: "ACTION: look")
    assert (sum(m.role == "assistant" for m in messages[2:]), reward, truncated) == (3, 0.0, True)
    assert info["metrics"] == {f"success_{task.data['goal']['type']}": 0.0}


def test_three_replies_without_an_action_end_the_episode():
    task = next(first_tasks("train", 1))
    messages, reward, truncated, info = play(Alfworld(), task, lambda m, info: f"I am lost {len(m)}")
    assert (sum(m.role == "assistant" for m in messages[2:]), reward, truncated) == (3, 0.0, True)
    assert info["action"] is None


def test_the_turn_limit_ends_the_episode():
    task = next(first_tasks("train", 1))
    messages, _, truncated, _ = play(Alfworld(), task, lambda m, info: f"THOUGHT: {len(m)}\nACTION: look")
    assert (sum(m.role == "assistant" for m in messages[2:]), truncated) == (35, True)


def test_possible_commands_are_shown_on_request():
    env = Alfworld(show_admissible=True).make()
    observation, info = env.reset(options={"task": next(first_tasks("train", 1))})
    assert observation.endswith("AVAILABLE ACTIONS: " + ", ".join(info["admissible_commands"]))


def test_a_replayed_episode_gives_the_same_messages_after_pickling():
    task = next(itertools.islice(Alfworld().tasks("test"), 5, None))
    episodes = []
    for copied in (task, pickle.loads(pickle.dumps(task))):
        environment = pickle.loads(pickle.dumps(Alfworld()))
        expert = pickle.loads(pickle.dumps(environment.expert(copied)))
        episodes.append(play(environment, copied, lambda messages, info, act=expert: act(messages)))
    assert episodes[0] == episodes[1]


def test_the_expert_names_only_what_it_has_read():
    environment = Alfworld()
    for task in first_tasks("validation", 60):
        expert = environment.expert(task)
        messages, *_ = play(environment, task, lambda m, info, act=expert: act(m))
        for index, message in enumerate(messages[2:], start=2):
            if message.role == "assistant":
                read = " ".join(m.content for m in messages[:index])
                assert all(name in read for name in task.data["objects"] if name in message.content)


def test_gymnasium_makes_it_and_draws_a_task_from_the_seed():
    env = gymnasium.make("agentray/Alfworld-v0")
    first, _ = env.reset(seed=7)
    again, _ = env.reset(seed=7)
    assert first == again
    assert first.startswith("Here is your task. You are in the middle of a room. Looking quickly around you,")


def test_summarize_averages_each_type():
    scores = [{"success_a": 1.0}, {"success_a": 0.0}, {"success_b": 1.0}]
    assert Alfworld().summarize(scores) == {"success_a": 0.5, "success_b": 1.0}


def test_wrong_settings_say_what_to_do(tmp_path):
    with pytest.raises(UsageError, match="should be 'simulator'"):
        Alfworld(engine="thor")
    with pytest.raises(DataError, match="no games at"):
        next(Alfworld(data=str(tmp_path / "absent")).tasks("test"))


@pytest.mark.parametrize(
    "settings",
    [{"max_turns": 0}, {"max_turns": "abc"}, {"fuzzy": "maybe"}, {"show_admissible": "nope"}, {"data": 5}],
    ids=str,
)
def test_a_setting_of_the_wrong_kind_is_refused_by_name(settings):
    with pytest.raises(UsageError) as caught:
        Alfworld(**settings)
    assert f"env.alfworld.{next(iter(settings))}" in caught.value.what


@pytest.mark.parametrize(
    "content", [b"no gzip", gzip.compress(b"{}")[:-9], gzip.compress(b"{}")[:10] + b"????"]
)
def test_a_list_of_games_that_is_no_gzip_is_named(tmp_path, content):
    games = tmp_path / "games.jsonl.gz"
    games.write_bytes(content)
    with pytest.raises(DataError, match=r"games\.jsonl\.gz(:1 is not an ALFWorld game|' cannot be read)"):
        next(Alfworld(data=str(games)).tasks("test"))


def test_a_game_without_its_trajectory_is_named(tmp_path):
    game = tmp_path / "valid_unseen" / "game"
    game.mkdir(parents=True)
    (game / "game.tw-pddl").write_text("{}")
    with pytest.raises(DataError, match="cannot be read") as caught:
        next(Alfworld(data=str(tmp_path)).tasks("test"))
    assert "traj_data.json" in caught.value.why


def test_a_goal_survives_json():
    goal = Goal("pick_two_obj_and_place", "pen", "drawer", "put two pen in drawer")
    assert Goal.from_data({"goal": goal.to_json()}) == goal


def test_impossible_commands_are_told_from_the_record():
    environment = Alfworld(fuzzy=False)
    task = next(environment.tasks("test"))
    observations = []
    env = environment.make()
    env.reset(seed=0, options={"task": task})
    for command in ("look", "fly to moon 1"):
        observations.append((command, env.step(f"ACTION: {command}")[0]))
    turns = tuple(Turn(Reply(f"ACTION: {c}"), c, seen) for c, seen in observations)
    trajectory = Trajectory(task, (), turns, 0.0, "truncated", 0, 0, "p", 0.0)
    assert list(environment.diagnose(trajectory)) == [Finding("invalid_action", 1)]


def test_scores_that_are_no_success_rate_are_not_summarized():
    metrics = [{"success_look": 1.0, "reward_before": 0.0}, {"success_look": 0.0}]
    assert Alfworld().summarize(metrics) == {"success_look": 0.5}
