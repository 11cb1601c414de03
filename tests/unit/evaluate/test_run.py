from agentray.config import EvaluateConfig
from agentray.evaluate.run import run


def test_attempts_of_a_larger_evaluation_in_the_same_directory_are_not_scored(tmp_path):
    sizes = [
        run(EvaluateConfig(envs=["count"], out=tmp_path, num_tasks=number, num_workers=0)).scores["count"].n
        for number in (30, 10, 30)
    ]
    assert sizes == [30, 10, 30]
