"""Draws and rows of several workers, without any of them."""

from itertools import chain

import numpy as np
import pytest
from training import config, corpus

from agentray.train.batches import Batches, Layout


def batches(world, *, packed=True, apart=False, row_tokens=4096):
    settings = config("unused", batch_size=6, row_tokens=row_tokens)
    return [Batches(settings, corpus(), Layout(packed, apart), rank, world) for rank in range(world)]


def joined(lists):
    return sorted(chain.from_iterable(lists))


def targets(batch):
    return sorted(np.concatenate([row.targets for row in batch.rows]).tolist())


@pytest.mark.parametrize("world", [2, 3, 6])
def test_workers_share_the_samples_of_a_step_and_know_its_size(world):
    (alone,) = batches(1)
    whole = alone.draw(1)
    parts = [each.draw(1) for each in batches(world)]
    assert joined(each.sources for each in parts) == sorted(whole.sources)
    assert joined(map(targets, parts)) == targets(whole)
    assert {each.num_targets for each in parts} == {whole.num_targets}
    assert {each.num_rows for each in parts} == {max(len(each.rows) for each in parts)}


def test_steps_go_on_through_the_stream():
    (alone,) = batches(1, apart=True)
    games = [alone.draw(step).rows[1].targets.tolist() for step in (0, 1, 0)]
    assert games[0] == games[2] != games[1]


def test_rows_hold_one_side_only_where_that_is_asked_for():
    (together,), (apart,) = batches(1), batches(1, apart=True)
    assert together.draw(0).num_general == 0 and len(together.draw(0).rows) == 1
    batch = apart.draw(0)
    assert batch.num_general == 1 and len(batch.rows) == 2
    for index, row in enumerate(batch.rows):
        sides = {batch.sources[sample] for sample in row.samples}
        assert sides == ({"chat"} if index == 0 else {"game"})


def test_rows_that_are_not_packed_hold_one_sample():
    (alone,) = batches(1, packed=False)
    assert [len(row.segments) for row in alone.draw(0).rows] == [1] * 6


@pytest.mark.parametrize("world", [1, 2, 4])
def test_each_validation_sample_counts_once_and_workers_run_as_many_rows(world):
    found = [each.validation()["chat"] for each in batches(world, row_tokens=64)]
    counted = joined(row.targets.tolist() for rows, n in found for row in rows[:n])
    assert counted == joined(each.input_ids[each.loss_mask].tolist() for each in corpus().validation["chat"])
    assert len({len(rows) for rows, _ in found}) == 1
