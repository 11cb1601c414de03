import pytest

from agentray.train.schedule import learning_rate

SHAPE = {"num_steps": 100, "peak": 1.0, "warmup_ratio": 0.1, "min_ratio": 0.1}


def test_the_rate_warms_up_peaks_and_ends_at_its_minimum():
    rates = [learning_rate(step, **SHAPE) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * each for each in range(1, 11)])
    assert max(rates) == 1.0
    assert rates[-1] == pytest.approx(0.1)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_one_step_is_a_schedule_too():
    assert learning_rate(0, num_steps=1, peak=2.0, warmup_ratio=0.02, min_ratio=0.1) == 2.0
