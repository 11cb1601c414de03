"""Whole runs against small servers: who answered, what was adapted, what is in no file."""

import json
import time

import pytest
from servers import counted, endpoint
from typer.testing import CliRunner

from agentray.cli.app import app, main
from agentray.config import RolloutConfig
from agentray.data.store import read_run
from agentray.errors import PolicyError, UsageError
from agentray.policy import router
from agentray.policy.address import API_KEY_VARIABLE
from agentray.rollout.run import run


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(router, "pause_s", lambda failures: 0.001)
    monkeypatch.setattr("agentray.policy.http.pause_s", lambda failures: 0.001)
    monkeypatch.setattr("agentray.policy.http._LOADING_POLL_S", 0.001)
    monkeypatch.delenv(API_KEY_VARIABLE, raising=False)


def roll(out, url, **changes):
    settings = {"envs": ["count"], "out": out, "policy": url, "num_tasks": 4, "num_workers": 0}
    return run(RolloutConfig(**(settings | changes)))


def right(body, call):
    return counted(body)


def test_every_trajectory_says_who_answered_it(tmp_path):
    with endpoint(lambda body, call: counted(body) | {"model": "m-2024"}) as url:
        summary = roll(tmp_path, url)
    [who] = summary.answered_by
    assert (who["model"], who["address"]) == ("m-2024", url) and "aiohttp" in who["version"]
    for each in read_run(tmp_path).trajectories:
        assert each.policy == "m"
        assert [(source.model, source.address) for source in each.answered_by] == [("m-2024", url)]


def test_the_same_model_at_another_port_goes_on_and_another_model_does_not(tmp_path):
    with endpoint(right, models=("base",)) as url:
        roll(tmp_path, url)
    with endpoint(right, models=("other", "base")) as url:
        assert roll(tmp_path, url, num_tasks=6).resumed == 4  # asked for by name
    with endpoint(right, models=("tuned",)) as url:
        with pytest.raises(PolicyError, match="does not serve 'base'"):
            roll(tmp_path, url, num_tasks=8)
        with pytest.raises(UsageError, match="'base' there, 'tuned' here"):
            roll(tmp_path, url, num_tasks=8, model="tuned")
    assert len(read_run(tmp_path).trajectories) == 6
    assert roll(tmp_path, url, num_tasks=6).completed == 6  # complete: nobody is asked


def test_a_second_address_with_another_model_ends_the_run(tmp_path):
    refused = pytest.raises(PolicyError, match="does not serve 'base'")
    with endpoint(right, models=("base",)) as one, endpoint(right, models=("tuned",)) as other, refused:
        roll(tmp_path, f"{one},{other}")


def test_a_model_that_changes_under_the_run_ends_it_also_on_resumption(tmp_path):
    def named(body, call):
        return counted(body) | {"model": "base" if call < 6 else "tuned"}

    with endpoint(named) as url:
        with pytest.raises(PolicyError, match="answers as the model 'tuned'"):
            roll(tmp_path, url, in_flight=1, model="any")
        with pytest.raises(PolicyError, match="earlier replies of this run are by 'base'"):
            roll(tmp_path, url, in_flight=1, model="any")


@pytest.mark.parametrize(
    ("names", "model"),
    [
        ({"data": [{"id": "openai/*"}]}, "openai/gpt-4o"),
        ({"data": [{"id": "models/gemini"}]}, "gemini"),
        ({"models": [{"name": "llama3.2:latest"}]}, "llama3.2"),
        ([{"id": "m"}], "m"),
        ({"data": []}, "m"),
        (None, "m"),
        (("other",), "m"),
    ],
)
def test_a_model_that_the_user_names_is_asked_for_whatever_is_listed(tmp_path, names, model):
    asked = set()

    def answer(body, call):
        asked.add(body["model"])
        return counted(body)

    with endpoint(answer, models=names) as url:
        assert roll(tmp_path, url, model=model).completed == 4
    assert asked == {model}


@pytest.mark.parametrize("names", [None, {"data": []}, {"data": [{"id": "*"}]}])
def test_without_a_name_and_a_list_the_error_says_what_to_type(tmp_path, names):
    with endpoint(right, models=names) as url, pytest.raises(PolicyError, match="--model NAME"):
        roll(tmp_path, url)


def refusal(message, status=400, **fields):
    return status, {"error": {"message": message, **fields}}


def no_max_tokens(body):
    if "max_tokens" in body:
        return refusal("'max_tokens' is not supported. Use 'max_completion_tokens' instead.")
    return None


def no_temperature(body):
    if body.get("temperature", 1) != 1:
        return refusal(
            "Unsupported value: 'temperature' does not support 0 with this model.", param="temperature"
        )
    return None


def not_both(body):
    if {"temperature", "top_p"} <= body.keys():
        return refusal("`temperature` and `top_p` cannot both be specified for this model.")
    return None


def no_seed(body):
    if "seed" in body:
        extra = {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}
        return 422, {"detail": [extra | {"input": 7}]}
    return None


def above_zero(body):
    if body.get("temperature") == 0:
        return refusal("`temperature` must be strictly positive", 422)
    return None


@pytest.mark.parametrize(
    ("wrongs", "notes"),
    [
        ([no_max_tokens], ["max_tokens is sent as max_completion_tokens"]),
        ([no_temperature], ["temperature is left out"]),
        ([not_both], ["top_p is left out"]),
        ([no_seed], ["seed is left out"]),
        ([above_zero], ["temperature 0 is sent as 0.01"]),
        ([no_max_tokens, no_temperature, no_seed], None),
    ],
)
def test_a_refused_parameter_is_adapted_once_and_recorded(tmp_path, wrongs, notes):
    refused = []

    def answer(body, call):
        for wrong in wrongs:
            if (told := wrong(body)) is not None:
                refused.append(told)
                return told
        return counted(body)

    with endpoint(answer) as url:
        summary = roll(tmp_path, url, in_flight=1)
    assert summary.completed == 4 and len(refused) == len(wrongs)
    assert notes is None or summary.adapted == {url: notes}
    assert sum(map(len, summary.adapted.values())) == len(wrongs)


def test_a_limit_that_is_too_large_is_the_settings_fault(tmp_path):
    answer = refusal("max_tokens is too large: 128. This model supports at most 64 completion tokens.")
    with endpoint(lambda body, call: answer) as url, pytest.raises(PolicyError, match="too large"):
        roll(tmp_path, url)


def test_a_password_and_a_token_are_used_and_stand_in_no_file_and_no_message(tmp_path, capsys, caplog):
    seen = []
    with endpoint(right, seen=seen) as url:
        secret = url.replace("://", "://bob:s3cret@") + "?api_token=t0ken"
        summary = roll(tmp_path, secret)
        assert summary.completed == 4
        assert all(
            "Basic" in headers["Authorization"] and "t0ken" in path
            for _, path, headers in seen
            if "chat" in path
        )
        with pytest.raises(SystemExit):
            main(["rollout", "--env", "count", "--policy", secret, "--num-tasks", "3", "--dry-run"])
    with pytest.raises(PolicyError) as caught:
        roll(tmp_path / "down", secret, model="m")
    texts = [str(caught.value), str(caught.value.args), repr(summary), *capsys.readouterr(), caplog.text]
    texts += [path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()]
    texts += [repr(each) for each in read_run(tmp_path).trajectories]
    assert not [text for text in texts if "s3cret" in text or "t0ken" in text]


def test_a_server_that_loads_is_waited_for(tmp_path):
    def answer(body, call):
        return (503, {"error": {"message": "Loading model"}}) if call < 30 else counted(body)

    with endpoint(answer) as url:
        summary = roll(tmp_path, url, num_tasks=1)
    assert (summary.completed, summary.retries) == (1, 0)


def test_a_run_whose_attempts_all_failed_exits_with_1_and_says_why(tmp_path):
    empty = {"choices": [{"message": {"content": None}, "finish_reason": "content_filter"}]}
    command = ["rollout", "--env", "count", "--num-tasks", "3", "--set", "rollout.num_workers=0", "--json"]
    with endpoint(lambda body, call: empty) as url:
        result = CliRunner().invoke(app, [*command, "--policy", url, "--out", str(tmp_path)])
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    [(why, number)] = told["failed_by_reason"].items()
    assert number == told["failed"] == 3 and "content_filter" in why and "--retry-failed" in told["next_step"]
    with endpoint(right) as url:
        again = CliRunner().invoke(app, [*command, "--policy", url, "--out", str(tmp_path), "--retry-failed"])
    assert again.exit_code == 0 and json.loads(again.stdout)["completed"] == 3


def test_a_quota_that_is_used_up_stops_at_once_and_the_same_command_goes_on(tmp_path):
    def answer(body, call):
        return (
            refusal("You exceeded your current quota", 429, code="insufficient_quota")
            if call > 5
            else counted(body)
        )

    started = time.monotonic()
    with endpoint(answer) as url, pytest.raises(PolicyError, match="quota or credit"):
        roll(tmp_path, url)
    assert time.monotonic() - started < 30
    with endpoint(right) as url:
        assert roll(tmp_path, url).completed == 4


def test_a_conversation_that_no_longer_fits_is_truncated(tmp_path):
    def answer(body, call):
        return (500, {"error": {"message": "Context size has been exceeded."}}) if call > 2 else counted(body)

    with endpoint(answer) as url:
        summary = roll(tmp_path, url, num_tasks=1, max_retries=0)
    assert (summary.truncated, summary.failed, summary.mean_reward["count"]) == (1, 0, 0.0)
