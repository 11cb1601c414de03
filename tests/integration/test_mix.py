"""Mixing on the CPUs of a Ray cluster."""

import json
import operator
import os

import pytest
from fakes import stored_run, trajectory

from agentray.chat.loading import context_length
from agentray.config import MixConfig
from agentray.errors import UsageError
from agentray.mix import run as stage
from agentray.mix.run import run
from agentray.parallel import ordered_map
from agentray.types import Reply, Turn

TURNS = (Turn(Reply("Action: 1"), "1", "", 1.0),)
pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]


def test_a_corpus_made_on_a_cluster_is_that_of_one_process(tiny_model, tmp_path, monkeypatch, request):
    source = stored_run(tmp_path / "run", [trajectory(index, turns=TURNS) for index in range(100)])
    config = MixConfig(agent=[source], eta=1, model=tiny_model, out=tmp_path / "mix")
    alone = run(config)
    before = {path.name: path.read_bytes() for path in (config.out / "corpus").iterdir()}
    request.getfixturevalue("local_ray")
    monkeypatch.setattr(stage, "_CHUNK", 7)
    monkeypatch.setattr(stage, "_ALONE", 1)
    assert run(config) == alone
    assert {path.name: path.read_bytes() for path in (config.out / "corpus").iterdir()} == before


def test_items_are_computed_by_ray_workers_in_order_and_errors_keep_their_type(local_ray, tiny_model):
    assert list(ordered_map(json.loads, map(str, range(20)))) == list(range(20))
    assert os.getpid() not in set(ordered_map(operator.call, [os.getpid] * 6))
    with pytest.raises(UsageError, match="no such model"):
        list(ordered_map(context_length, [tiny_model, tiny_model, "no such model"]))
