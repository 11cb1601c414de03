import numpy as np
import pytest

from agentray.mix.packing import SharedPrefix, pack
from agentray.mix.samples import Sample

RNG = np.random.default_rng(0)
PREFIXES = [RNG.integers(0, 500, length).astype(np.int32) for length in (20, 30)]


def sample(length, prefix=None):
    own = RNG.integers(0, 500, length).astype(np.int32)
    mask = np.zeros(length, np.bool_)
    mask[length // 2 :] = True
    if prefix is None:
        return Sample(own, mask)
    shared = PREFIXES[prefix]
    return Sample(
        np.concatenate([shared, own]), np.concatenate([np.zeros(len(shared), bool), mask]), len(shared)
    )


SAMPLES = [sample(length, prefix) for length in (10, 25, 40) for prefix in (None, 0, 1)] + [sample(300)]


def seen_by(row, position):
    """Tokens a position attends to, oldest first."""
    segment = next(each for each in row.segments if each.start <= position < each.end)
    prefix = row.input_ids[segment.prefix_start : segment.prefix_end]
    return np.concatenate([prefix, row.input_ids[segment.start : position + 1]])


@pytest.mark.parametrize("row_tokens", [64, 128, 4096])
def test_every_target_sees_exactly_its_own_conversation(row_tokens):
    found = {}
    for row in pack(SAMPLES, row_tokens):
        for source, target, owner in zip(row.predict_from, row.targets, row.samples, strict=True):
            context = seen_by(row, source)
            assert row.position_ids[source] == len(context) - 1
            found.setdefault(int(owner), []).append((context.tolist(), int(target)))
    for index, each in enumerate(SAMPLES):
        with_loss = [t for t in np.flatnonzero(each.loss_mask) if t > 0]
        expected = [(each.input_ids[:t].tolist(), int(each.input_ids[t])) for t in with_loss]
        assert found[index] == expected


@pytest.mark.parametrize("row_tokens", [64, 128, 4096])
def test_rows_stay_within_their_length_unless_one_sample_is_longer(row_tokens):
    for row in pack(SAMPLES, row_tokens):
        alone = len(set(row.samples.tolist())) == 1
        assert len(row.input_ids) <= row_tokens or alone
        assert [each.start for each in row.segments][1:] == [each.end for each in row.segments][:-1]


def test_a_shared_instruction_is_laid_once_per_row():
    row = pack([sample(10, 0) for _ in range(5)], 4096)[0]
    assert len(row.input_ids) == len(PREFIXES[0]) + 5 * 10


def shared(samples, minimum=16):
    found = SharedPrefix(minimum)
    for each in samples:
        found.add(each)
    return found.length


def test_the_common_prefix_ends_before_any_loss_and_any_difference():
    together = [Sample(each.input_ids, each.loss_mask) for each in (sample(10, 0), sample(12, 0))]
    assert shared(together) == 20
    assert shared(together, minimum=21) == 0
    early = Sample(together[0].input_ids, np.arange(30) >= 17)
    assert shared([together[1], early]) == 17
    assert shared(together[:1]) == 0
