"""Which model of an endpoint a suite asks, and what is said of a judge that cannot be asked."""

import pytest
from servers import counted, endpoint

from agentray import manifest
from agentray.config import JudgeConfig, SuiteConfig
from agentray.errors import PolicyError, UsageError
from agentray.stage import PLAN
from agentray.suites.respondents import check_judge, named


def answer(body, call):
    return counted(body)


def test_a_suite_belongs_to_the_model_that_an_endpoint_served_when_it_began(tmp_path):
    with endpoint(answer, models=("base",)) as url:
        assert named(SuiteConfig(policy=url), tmp_path).model == "base"
    manifest.write_json(tmp_path / PLAN, {"policy": "base"})
    with endpoint(answer, models=("other", "base")) as url:
        assert named(SuiteConfig(policy=url), tmp_path).model == "base"
    with (
        endpoint(answer, models=("tuned",)) as url,
        pytest.raises(PolicyError, match="does not serve 'base'"),
    ):
        named(SuiteConfig(policy=url), tmp_path)
    assert named(SuiteConfig(policy=url, model="any"), tmp_path).model == "any"
    manifest.write(tmp_path, manifest.Manifest("suite", {}, {}))
    assert named(SuiteConfig(policy=url), tmp_path).model == "base"  # complete: nobody is asked


def test_what_is_wrong_with_a_judge_is_told_in_its_own_settings():
    with endpoint(answer, models=None) as url, pytest.raises(PolicyError) as caught:
        check_judge(JudgeConfig(url=url))
    assert caught.value.what.startswith("the judge:") and "evaluate.judge.model=NAME" in caught.value.fix
    with pytest.raises(UsageError) as wrong:
        check_judge(JudgeConfig(url="127.0.0.1:1/v1"))
    assert "evaluate.judge.url=http://127.0.0.1:1/v1" in wrong.value.fix
