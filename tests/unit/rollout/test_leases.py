"""What the dispatcher hands out, to workers that play nothing."""

import asyncio
import itertools
import time
from contextlib import closing
from dataclasses import replace

import pytest

from agentray.data.store import RunStore, read_run
from agentray.env.count import Count
from agentray.errors import DataError
from agentray.rollout import dispatch
from agentray.rollout.counts import RunCounts
from agentray.rollout.dispatch import Dispatcher, Rules
from agentray.rollout.protocol import EpisodeResult, Update, WorkerDied, WorkerInfo
from agentray.types import Attempt, silent


class Quick:
    """Ends a given number of its episodes at each exchange, and keeps account."""

    def __init__(self, capacity=100, ends=100):
        self._capacity, self._ends = capacity, ends
        self.held, self.most, self.times, self.beats = [], 0, [], 0

    async def ready(self):
        return WorkerInfo(1, "here", {"count": self._capacity})

    async def exchange(self, assignments, acknowledged):
        await asyncio.sleep(0)
        self.times.append(time.monotonic())
        self.held += assignments
        self.most = max(self.most, len(self.held))
        over, self.held = self.held[: self._ends], self.held[self._ends :]
        self.beats += 1
        return Update(self.beats, [], [won(assignment) for assignment in over], 0, ())


def won(assignment):
    return EpisodeResult(assignment.attempt.key, assignment.lease, "completed", reward=1.0)


class Poisoned(Quick):
    """Dies of whatever it is given."""

    async def exchange(self, assignments, acknowledged):
        raise WorkerDied("segmentation fault")


def attempts(number):
    tasks = itertools.islice(Count().tasks("train"), number)
    return [Attempt(task, 0, seed, "counting") for seed, task in enumerate(tasks)]


def drive(tmp_path, workers, made, in_flight=8):
    """The counts of a run, and its dispatcher."""
    counts = RunCounts(len(made), {"count": 1.0}, silent, tmp_path / "log.jsonl")
    with RunStore(tmp_path) as store, closing(counts):
        dispatcher = Dispatcher(iter(made), store, Rules(in_flight, 2, frozenset()), counts)
        asyncio.run(dispatcher.run(workers))
    return counts, dispatcher


@pytest.mark.parametrize("ends", [1, 2, 100])
def test_a_worker_gets_as_many_episodes_as_it_has_places_for(tmp_path, ends):
    worker = Quick(capacity=2, ends=ends)
    counts, _ = drive(tmp_path, [worker], attempts(9))
    assert counts.statuses == {"completed": 9} and worker.most == 2


@pytest.mark.parametrize("in_flight", [1, 2])
def test_two_tasks_with_one_id_end_the_run_instead_of_losing_one(tmp_path, in_flight):
    [one, other] = attempts(2)
    same = replace(other, task=replace(other.task, id=one.task.id))
    with pytest.raises(DataError, match=f"two tasks with the id {one.task.id!r}"):
        drive(tmp_path, [Quick()], [one, same], in_flight)


def test_the_tail_begins_when_the_last_attempt_is_handed_out(tmp_path):
    worker = Quick(ends=1)
    _, dispatcher = drive(tmp_path, [worker], attempts(6), in_flight=4)
    assert worker.times[1] <= dispatcher.tail_started_s <= worker.times[2]


def test_an_attempt_that_is_given_up_counts_although_others_find_nothing_to_do_meanwhile(
    tmp_path, monkeypatch
):
    idle, commit = Quick(capacity=0), RunStore.commit

    def slow(store, entries):
        before, deadline = idle.beats, time.monotonic() + 5
        while idle.beats < before + 3 and time.monotonic() < deadline:  # a run that is over has no heartbeat
            time.sleep(0.001)
        commit(store, entries)

    monkeypatch.setattr(RunStore, "commit", slow)
    monkeypatch.setattr(dispatch, "_MOST_DEATHS", 1)
    counts, _ = drive(tmp_path, [Poisoned(), idle], attempts(1))
    assert counts.statuses == {"failed": 1}
    assert [each.status for each in read_run(tmp_path).trajectories] == ["failed"]
