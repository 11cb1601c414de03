"""The Overall against the paper's printed cells, and what it refuses."""

import copy
import tomllib
from importlib.resources import files

import pytest

from agentray.errors import DataError, UsageError
from agentray.overall.baselines import GROUPS, load, overall, parse, published

MODELS = (
    "Llama-2-7B-chat",
    "Llama-2-13B-chat",
    "Llama-2-70B-chat",
    "AgentLM-7B",
    "AgentLM-13B",
    "AgentLM-70B",
    "GPT-3.5-turbo",
    "GPT-4",
)
PRINTED = {
    "held_in": ("0.19", "0.20", "0.27", "1.96", "2.11", "2.55", "1.59", "2.75"),
    "held_out": ("0.38", "0.49", "0.51", "0.67", "0.78", "1.40", "1.49", "2.13"),
    "general": ("0.63", "0.74", "0.95", "0.62", "0.69", "0.96", "1.15", "1.53"),
}
MEANS = {
    "alfworld": 20.40, "webshop": 27.78, "mind2web": 8.90, "kg": 15.86, "os": 19.14, "db": 11.92,
    "sciworld": 15.56, "miniwob": 31.28, "webarena": 2.76, "hotpotqa": 34.96, "rewoo": 60.56, "dcg": 15.90,
    "mmlu": 64.16, "humaneval": 35.64, "gsm8k": 52.82, "mtbench": 7.338,
}  # fmt: skip


def document():
    text = files("agentray.overall").joinpath("baselines.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@pytest.mark.parametrize("group", GROUPS)
def test_every_printed_cell_is_reproduced_to_two_decimals(group):
    found = published(load()).models
    assert [f"{found[model][group]['recomputed']:.2f}" for model in MODELS] == [*PRINTED[group]]
    assert [f"{found[model][group]['published']:.2f}" for model in MODELS] == [*PRINTED[group]]


def test_the_baseline_means_are_the_unrounded_ones():
    baselines = load()
    assert {name: baselines.mean(name) for name in baselines.tasks} == pytest.approx(MEANS)


@pytest.mark.parametrize("group", GROUPS)
def test_the_baselines_average_one_in_each_group(group):
    cells = published(load()).models
    values = [cells[model][group]["recomputed"] for model in load().baselines]
    assert sum(values) / len(values) == pytest.approx(1.0)


def test_an_overall_names_its_tasks_and_the_version_of_its_baselines():
    scores = {task: load().mean(task) * 2 for task in load().group("general")}
    found = overall(scores, "general", load())
    assert found.value == pytest.approx(2.0)
    assert (found.baselines, found.missing) == ("agenttuning-table-1", ())
    assert list(found.ratios) == ["mmlu", "humaneval", "gsm8k", "mtbench"]


def test_scores_of_another_group_never_enter():
    general = {task: load().mean(task) for task in load().group("general")}
    assert overall(general | {"alfworld": 100.0}, "general", load()).value == pytest.approx(1.0)


def test_a_missing_task_is_named_and_the_group_refused():
    scores = {"alfworld": 84.0, "webshop": 63.6, "mind2web": 6.4, "kg": 18.1, "os": 17.4}
    with pytest.raises(DataError) as caught:
        overall(scores, "held_in", load())
    assert caught.value.why == "no score of db" and "--partial" in caught.value.fix


def test_a_partial_overall_is_over_the_tasks_that_are_there():
    found = overall({"alfworld": 20.4, "db": 2 * 11.92}, "held_in", load(), partial=True)
    assert found.value == pytest.approx(1.5)
    assert found.missing == ("webshop", "mind2web", "kg", "os")
    with pytest.raises(DataError, match="no Overall"):
        overall({"mmlu": 50.0}, "held_in", load(), partial=True)


def test_a_baseline_mean_of_zero_leaves_the_overall_undefined():
    changed = copy.deepcopy(document())
    changed["tasks"]["kg"]["scores"] = [0.0, 0.0, 0.0, 18.1, 26.8, 47.0, 0.0, 0.0]
    scores = dict.fromkeys(load().group("held_in"), 10.0)
    with pytest.raises(DataError, match="'kg' is undefined"):
        overall(scores, "held_in", parse(changed))


def test_a_table_with_holes_or_strangers_is_refused():
    short, strange = document(), document()
    short["tasks"]["os"]["scores"].pop()
    with pytest.raises(DataError, match="'os' of the baselines has 7 numbers"):
        parse(short)
    strange["baselines"][0] = "Llama-2-7B"
    with pytest.raises(DataError, match="did you mean 'Llama-2-7B-chat'"):
        parse(strange)


def test_an_unknown_model_names_the_closest():
    assert list(published(load(), ["AgentLM-7B"]).models) == ["AgentLM-7B"]
    with pytest.raises(UsageError, match="did you mean 'AgentLM-70B'"):
        published(load(), ["AgentLM70B"])
