"""The chain: every trajectory is counted once, whatever a step does with it, and in a fixed order."""

import asyncio
import json
from dataclasses import replace

import pytest
from fakes import stored_run, trajectory

from agentray.data import ranking, shards
from agentray.data.store import read_run
from agentray.errors import DataError, PolicyError
from agentray.transforms import Rejection, Rule, Transform
from agentray.transforms.base import make
from agentray.transforms.chain import Chain
from agentray.transforms.context import Contexts
from agentray.transforms.outcomes import Outcomes
from agentray.types import Reply, Turn

SAID = (Turn(Reply("größer 数 \U0001f600"), None, "…"),)
KINDS = [
    trajectory(0),
    trajectory(1, turns=trajectory().turns * 4, reward=0.5),
    trajectory(2, status="truncated", reward=0.0),
    trajectory(3, status="failed", reward=None, turns=(), error="it broke"),
    trajectory(4, reward=None),
    trajectory(5, turns=SAID, policy="modèle"),
]


class Step(Transform):
    """A transform made of a function."""

    def __init__(self, function):
        super().__init__(Transform.Settings())
        self._function = function

    def __call__(self, each, context):
        return self._function(each)


class AsyncStep(Step):
    async def __call__(self, each, context):
        return await self._function(each)


class Last(Rule):
    """Keeps what it sees first: for the order."""

    best_first = True
    seen = None

    def reason(self, each, context):
        self.seen = (self.seen or 0) + 1
        return None if self.seen <= 2 else "later"


def chained(tmp_path, steps, made=KINDS, in_flight=3, outcomes=None, out="out"):
    """What a chain counts, what it kept and what it rejected."""
    if not (tmp_path / "run").exists():
        stored_run(tmp_path / "run", made)
    runs = [tmp_path / "run"]
    (tmp_path / out).mkdir(exist_ok=True)
    steps = [(f"step {number}", step) for number, step in enumerate(steps)]
    chain = Chain(steps, runs, tmp_path / out, Contexts(runs, {}), in_flight, outcomes)
    counts = asyncio.run(chain.run())
    assert counts.read == counts.kept + counts.rejected_total == len(made)
    lines = [json.loads(line) for line in (tmp_path / out / "rejected.jsonl").read_text().splitlines()]
    assert len(lines) == counts.rejected_total
    kept = read_run(tmp_path / out).trajectories if counts.kept else []
    assert len(kept) == counts.kept
    return counts, kept, lines


async def later(each):
    await asyncio.sleep(0)
    return each


@pytest.mark.parametrize("step", [Step(lambda each: each), AsyncStep(later)])
def test_every_kind_of_trajectory_passes_unchanged(tmp_path, step):
    _, kept, lines = chained(tmp_path, [step])
    assert sorted(kept, key=lambda each: each.seed) == KINDS and not lines


def test_a_change_is_stored_and_seen_by_the_next_step(tmp_path):
    seen = []
    halved = Step(lambda each: replace(each, reward=None if each.reward is None else each.reward / 2))
    _, kept, _ = chained(tmp_path, [halved, Step(lambda each: seen.append(each) or each)])
    assert seen == kept
    assert {each.key: each.reward for each in kept} == {
        each.key: None if each.reward is None else each.reward / 2 for each in KINDS
    }


def test_a_rejection_is_counted_under_its_step_with_its_detail(tmp_path):
    def long(each):
        return Rejection(each.key, "long", f"{len(each.turns)} turns") if len(each.turns) > 2 else each

    counts, _, lines = chained(tmp_path, [make("completed"), Step(long)])
    assert counts.rejected == {"step 0": {"truncated": 1, "failed": 1}, "step 1": {"long": 1}}
    assert {"key": KINDS[1].key, "step": "step 1", "reason": "long", "detail": "8 turns"} in lines


def test_an_async_step_has_no_more_at_once_than_it_may_and_keeps_the_order(tmp_path):
    made = [trajectory(index) for index in range(40)]
    running, most, gates = set(), [], {}

    async def slow(each):
        running.add(each.key)
        most.append(len(running))
        gates[each.seed] = asyncio.Event()
        if len(gates) == len(running) and len(running) < 3:  # the first waits until two more run
            await gates[each.seed].wait()
        else:
            for gate in gates.values():
                gate.set()
            await asyncio.sleep(0)
        running.discard(each.key)
        return each

    seen = []
    _, kept, _ = chained(tmp_path, [AsyncStep(slow), Step(lambda each: seen.append(each.key) or each)], made)
    assert max(most) == 3
    assert seen == sorted(each.key for each in made) == [each.key for each in kept]


def test_what_is_kept_is_ordered_anew_before_a_step_that_asks_for_it(tmp_path, monkeypatch):
    made = [trajectory(index, reward=index / 10) for index in range(10)]
    turned = Step(lambda each: replace(each, reward=1 - each.reward))
    _, kept, _lines = chained(tmp_path, [turned, Last(Rule.Settings())], made)
    assert [each.seed for each in kept] == [0, 1]
    assert not [each for each in (tmp_path / "out").iterdir() if each.name.startswith(".")]
    _, kept, _ = chained(tmp_path, [make("has_replies"), Last(Rule.Settings())], made, out="plain")
    assert [each.seed for each in kept] == [9, 8]


def test_a_step_that_gives_two_trajectories_one_key_loses_neither_in_silence(tmp_path):
    made = [trajectory(index) for index in range(3)]
    same = Step(lambda each: replace(each, task=made[0].task))
    counts, kept, _lines = chained(tmp_path, [same], made)
    assert [each.key for each in kept] == [made[0].key]
    assert counts.rejected == {"write": {"same_key": 2}}


def test_shards_are_small_and_rows_keep_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_ROWS", 4)
    monkeypatch.setattr(ranking, "_CHUNK_BYTES", 1)
    monkeypatch.setattr("agentray.transforms.chain._BUFFER_ROWS", 2)
    made = [trajectory(index) for index in range(30)]
    _, kept, _ = chained(tmp_path, [Step(lambda each: each)], made)
    assert [each.key for each in kept] == sorted(each.key for each in made)
    assert len(shards.shards(tmp_path / "out")) > 5


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda each: None, "it returned None"),
        (lambda each: "kept", "it returned 'kept'"),
        (lambda each: Rejection(each.key, ""), "a rejection with a reason"),
        (lambda each: 1 / 0, "ZeroDivisionError"),
        (lambda each: replace(each, turns=None), "cannot be stored"),
        (lambda each: replace(each, error="half \ud83d"), "cannot be stored"),
        (lambda each: replace(each, reward="much"), "cannot be stored"),
    ],
)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_nonsense_is_an_error_that_names_step_and_attempt(tmp_path, function, why, asynchronous):
    async def awaited(each):
        return function(each)

    step = AsyncStep(awaited) if asynchronous else Step(function)
    with pytest.raises(DataError) as caught:
        chained(tmp_path, [step], [trajectory(0)])
    assert caught.value.what == f"transform 'step 0' failed on {trajectory(0).key!r}"
    assert why in caught.value.why


def test_a_failed_chain_goes_on_from_what_its_async_steps_returned(tmp_path):
    made, asked, fails = [trajectory(index) for index in range(20)], [], [True]

    async def ask(each):
        asked.append(each.key)
        await asyncio.sleep(0)
        if each.seed == 11 and fails:
            raise PolicyError("no money is left", "the account is empty", "pay")
        if each.seed % 3 == 0:
            return Rejection(each.key, "third", f"number {each.seed}")
        return replace(each, metrics={"asked": 1.0}) if each.seed % 3 == 1 else each

    (tmp_path / "out").mkdir()
    outcomes = Outcomes(tmp_path / "out")
    with pytest.raises(PolicyError):
        chained(tmp_path, [AsyncStep(ask)], made, outcomes=outcomes)
    outcomes.close()
    file = tmp_path / "out" / "outcomes.jsonl"
    known = len(file.read_text().splitlines())
    assert len(asked) == known + 1, "what had begun is remembered, and no more began"
    file.write_bytes(file.read_bytes() + b'{"step": "step 0", "run": 0, "ke')  # cut short by a crash
    fails.clear()
    again = Outcomes(tmp_path / "out")
    _, kept, lines = chained(tmp_path, [AsyncStep(ask)], made, outcomes=again)
    again.close()
    assert (again.reused, len(asked)) == (known, 21)
    assert {each.seed: dict(each.metrics) for each in kept} == {
        seed: {"asked": 1.0} if seed % 3 == 1 else dict(made[seed].metrics) for seed in range(20) if seed % 3
    }
    assert {each["detail"] for each in lines} == {f"number {seed}" for seed in range(0, 20, 3)}
    assert len(file.read_text().splitlines()) == 20


def test_progress_ends_at_the_total(tmp_path):
    stored_run(tmp_path / "run", KINDS)
    (tmp_path / "out").mkdir()
    told = []
    chain = Chain(
        [("completed", make("completed"))],
        [tmp_path / "run"],
        tmp_path / "out",
        Contexts([tmp_path / "run"], {}),
    )
    asyncio.run(chain.run(lambda done, total, **fields: told.append((done, total, fields["kept"]))))
    assert told[-1] == (6, 6, 4)
