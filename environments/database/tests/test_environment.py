import random
import re
from collections import Counter
from itertools import islice

import gymnasium
import pytest
from playing import play

from agentray.env import Finding, check_environment, resolve
from agentray.errors import DataError, UsageError
from agentray.evaluate.outcomes import outcome
from agentray.evaluate.score import score
from agentray.types import SPLITS, Message, Reply, Trajectory, Turn
from agentray_database import Database
from agentray_database.environment import replies


@pytest.fixture(scope="module")
def environment():
    return Database()


@pytest.fixture(scope="module")
def tasks(environment):
    return {split: list(islice(environment.tasks(split), 500)) for split in SPLITS}


def _follow(expert):
    return lambda messages, info: expert(messages)


def test_the_plugin_keeps_the_contract():
    check_environment(resolve("database"))


@pytest.mark.parametrize("split", SPLITS)
def test_the_expert_solves_almost_every_generated_task(environment, tasks, split):
    rewards = [play(environment, task, _follow(environment.expert(task)))[0] for task in tasks[split]]
    assert sum(rewards) >= 0.99 * len(rewards)


def test_plain_requests_call_columns_by_their_headers_and_the_expert_solves_them():
    plain = Database(requests="plain")
    rewards = []
    for task in islice(plain.tasks("test"), 200):
        named = re.findall(r"`([^`]+)`", task.data["sql"].split(" WHERE ")[-1].split(" SET ")[-1])
        assert all(header in task.data["question"] for header in named if header in task.data["headers"])
        assert len(task.data["headers"]) <= 3
        rewards.append(play(plain, task, _follow(plain.expert(task)))[0])
    assert sum(rewards) >= 198


def test_an_unknown_wording_is_refused():
    with pytest.raises(UsageError, match="did you mean 'plain'"):
        Database(requests="plan")


@pytest.mark.parametrize(
    "settings", [{"max_turns": 0}, {"max_turns": "abc"}, {"seed": "x"}, {"data": 5}, {"requests": 5}], ids=str
)
def test_a_setting_of_the_wrong_kind_is_refused_by_name(settings):
    with pytest.raises(UsageError) as caught:
        Database(**settings)
    assert next(iter(settings)) in caught.value.what


def test_a_table_filled_to_its_limit_is_a_lost_task_and_no_failure(environment, tasks):
    task = next(each for each in tasks["test"] if each.data["kind"] == "insert")
    name, ones = task.data["table"], ", ".join("1" for _ in task.data["headers"])
    ten = "(SELECT 1 UNION ALL " + " UNION ALL ".join(["SELECT 1"] * 9) + ")"
    fill = f"INSERT INTO `{name}` SELECT {ones} FROM {ten} a, {ten} b, {ten} c, {ten} d"
    said = iter([replies.operate("More.", fill)] * 12 + [replies.answer("Done.", ["done"])])
    reward, messages, _ = play(environment, task, lambda messages, info: next(said))
    assert reward == 0.0 and messages[4].content == "[]"


@pytest.mark.parametrize("split", SPLITS)
def test_random_answers_are_almost_never_right(environment, tasks, split):
    rng = random.Random(0)
    rewards = [
        play(environment, task, lambda messages, info: environment.random_reply(info, rng))[0]
        for task in tasks[split]
    ]
    assert sum(rewards) < 0.05 * len(rewards)


def test_answering_without_acting_never_modifies(environment, tasks):
    for task in tasks["train"][:60]:
        reward, _, info = play(
            environment, task, lambda messages, info: 'Action: Answer\nFinal Answer: ["done"]'
        )
        assert reward == 0 and info["metrics"] == {f"success_{task.data['kind']}": 0.0}


def test_the_instruction_is_the_same_for_every_task(environment, tasks):
    assert len({environment.instruction(task) for split in SPLITS for task in tasks[split]}) == 1
    acknowledgement = environment.instruction(tasks["train"][0])[-1]
    assert acknowledgement == Message("assistant", "Ok.", loss=False)


@pytest.mark.parametrize(
    ("reply", "action"),
    [
        ("I look.\nAction: Operation\n```sql\nSELECT 1\n```", "SELECT 1"),
        ("Action: Operation\n```sql\nSELECT 1\nFROM t;\n```\nmore", "SELECT 1 FROM t;"),
        ('Done.\nAction: Answer\nFinal Answer: ["a"]', 'Final Answer: ["a"]'),
        ("Action: Operation\nSELECT 1", None),
        ("Action: Think\n```sql\nSELECT 1\n```", None),
        ("Final Answer: [1]", None),
        ("", None),
    ],
)
def test_replies_are_parsed_as_agentbench_does(reply, action):
    assert replies.parse(reply) == action


def test_a_reply_without_action_ends_the_episode_but_its_answer_counts(environment, tasks):
    task = next(task for task in tasks["test"] if task.data["kind"] == "select")
    assert play(environment, task, lambda messages, info: "I do not know.")[0] == 0
    reply = f"So:\nFinal Answer: {task.data['label']}"
    assert play(environment, task, lambda messages, info: reply)[0] == 1


def test_a_statement_that_fails_does_not_end_the_episode(environment, tasks):
    task = next(task for task in tasks["test"] if task.data["kind"] == "insert")
    replies = iter(["SELECT * FROM nowhere", task.data["sql"]])

    def reply(messages, info):
        statement = next(replies, None)
        return "Final Answer: []" if statement is None else f"Action: Operation\n```sql\n{statement}\n```"

    reward, messages, _ = play(environment, task, reply)
    assert reward == 1 and messages[4].content.startswith("1146 (42S02)")


def test_fifteen_rounds_truncate_and_a_changed_table_still_counts(environment, tasks):
    task = next(task for task in tasks["test"] if task.data["kind"] == "update")
    episode = environment.make()
    episode.reset(options={"task": task})
    for turn in range(15):
        statement = task.data["sql"] if turn == 3 else "SELECT 1"
        _, reward, terminated, truncated, _ = episode.step(f"Action: Operation\n```sql\n{statement}\n```")
    assert (reward, terminated, truncated) == (1.0, False, True)
    with pytest.raises(RuntimeError, match="reset"):
        episode.step("again")


def test_the_summary_is_the_mean_of_the_categories_present(environment):
    metrics = [{"success_select": 1.0}, {"success_select": 0.0}, {"success_insert": 1.0}]
    expected = {"select_accuracy": 0.5, "insert_accuracy": 1.0, "overall_cat_accuracy": 0.75}
    assert environment.summarize(metrics) == expected
    assert environment.summarize([]) == {}


def test_scores_say_how_many_attempts_a_category_has_and_mark_the_few(environment, tasks):
    attempts = [
        Trajectory(
            task, (), (), 1.0, "completed", 0, 0, "p", 0.0, metrics={f"success_{task.data['kind']}": 1.0}
        )
        for task in tasks["test"]
    ]
    kinds = Counter(task.data["kind"] for task in tasks["test"])
    few = next(each for each in attempts if each.task.data["kind"] == "update")
    chosen = [each for each in attempts if each.task.data["kind"] != "update"] + [few]
    found = score(map(outcome, chosen))["database"]
    assert found.n_by_category == {"insert": kinds["insert"], "select": kinds["select"], "update": 1}
    assert list(found.few) == ["update"]


def test_gymnasium_makes_the_environment_and_draws_a_task():
    episode = gymnasium.make("agentray/Database-v0")
    first, _ = episode.reset(seed=3)
    assert "the headers of this table are" in first
    assert episode.reset(seed=3)[0] == first


def test_a_missing_or_foreign_data_file_is_an_error_with_a_fix(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        Database(data=str(tmp_path / "none.jsonl"))
    for content in ("", "{}\n", "not json\n", '{"type": ["INSERT"], "table": {}}\n'):
        (tmp_path / "bad.jsonl").write_text(content)
        with pytest.raises(DataError, match="fix:"):
            Database(data=str(tmp_path / "bad.jsonl"))


def test_errors_and_repeated_statements_are_told_from_the_record(environment, tasks):
    task = tasks["test"][0]
    episode = environment.make()
    episode.reset(seed=0, options={"task": task})
    turns = []
    for statement in ("SELECT `no such column`", "SELECT 1", "DROP TABLE x", "SELECT 1"):
        reply = replies.operate("So.", statement)
        turns.append(Turn(Reply(reply), statement, episode.step(reply)[0]))
    turns.append(Turn(Reply("Final Answer: 1"), "Final Answer: 1", ""))
    trajectory = Trajectory(task, (), tuple(turns), 0.0, "completed", 0, 0, "p", 0.0)
    assert list(environment.diagnose(trajectory)) == [
        Finding("function_call_error", 0),
        Finding("function_call_error", 2),
        Finding("function_repetition", 3),
    ]
