"""Addresses, keys and proxies as users write them."""

import pytest
from servers import counted, endpoint

from agentray.config import EngineConfig, RolloutConfig
from agentray.errors import PolicyError, UsageError, without_secrets
from agentray.policy import resolve_policy
from agentray.policy.address import API_KEY_VARIABLE, api_key, parse_address
from agentray.rollout.run import run


@pytest.mark.parametrize(
    ("typed", "advised"),
    [
        ("127.0.0.1:18200/v1", "--policy http://127.0.0.1:18200/v1"),
        ("localhost:8000", "--policy http://localhost:8000"),
        ("api.example.com/v1", "--policy http://api.example.com/v1"),
        ("htp://here/v1", "--policy http://here/v1"),
        ("http:/here/v1", "--policy http://here/v1"),
        ("http://here:8000/v1/chat/completions", "--policy http://here:8000/v1"),
        ("http://here:8000/v1/completions/", "--policy http://here:8000/v1"),
        ("http://a/v1,http://here/v1/models", "--policy http://here/v1"),
        (
            "https://x.openai.azure.com/openai/deployments/g/chat/completions?api-version=2024-10-21",
            "--policy https://x.openai.azure.com/openai/deployments/g?api-version=2024-10-21",
        ),
        ("http://", "http://HOST:PORT/v1"),
        ("http://here:99999/v1", "http://HOST:PORT/v1"),
        ("http://he re/v1", "http://HOST:PORT/v1"),
    ],
)
def test_a_wrong_address_is_refused_with_the_right_one(typed, advised):
    with pytest.raises(UsageError) as caught:
        resolve_policy(typed, engine=EngineConfig())
    assert advised in caught.value.fix


@pytest.mark.parametrize("name", ["smollm2-135m", "org/name", "no-such-model"])
def test_a_model_is_no_address(name):
    try:
        resolve_policy(name, engine=EngineConfig())
    except UsageError as error:
        assert "http" not in error.fix


def test_a_query_follows_the_path_and_shows_no_secret():
    address = parse_address("https://bob:pw@here/openai?api-version=2024&sig=abc")
    assert address.url("/models") == "https://here/openai/models?api-version=2024&sig=abc"
    assert address.shown == "https://here/openai?api-version=2024"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at http://bob:pw@here/v1 now", "at http://here/v1 now"),
        ("http://sk-token@here/v1", "http://here/v1"),
        ("http://bob:p@ss@here/v1", "http://here/v1"),
        ("http://here/v1?api_key=abc&api-version=1", "http://here/v1?api_key=...&api-version=1"),
        ("mail bob@here", "mail bob@here"),
    ],
)
def test_texts_show_no_secrets_of_urls(text, shown):
    assert without_secrets(text) == shown
    assert str(shown) in str(PolicyError(text, "", ""))


@pytest.mark.parametrize("value", [" sk-1 \n", "Bearer sk-1", "'sk-1'", '"sk-1"\r\n'])
def test_a_key_loses_what_was_copied_along(value):
    assert api_key({API_KEY_VARIABLE: value}) == "sk-1"


@pytest.mark.parametrize("value", ["sk-1\nsk-2", "sk-…", "sk 1", "sk-\x00"])
def test_what_cannot_be_a_key_is_refused_and_not_shown(value, monkeypatch):
    with pytest.raises(UsageError, match=API_KEY_VARIABLE) as caught:
        api_key({API_KEY_VARIABLE: value})
    assert "sk" not in str(caught.value)


def roll(out, url, **changes):
    settings = {"envs": ["count"], "out": out, "policy": url, "num_tasks": 2, "num_workers": 0}
    return run(RolloutConfig(**(settings | changes)))


def test_azure_gets_the_key_and_the_version_its_way(tmp_path, monkeypatch):
    monkeypatch.setenv(API_KEY_VARIABLE, "k3y")
    seen, asked = [], set()

    def answer(body, call):
        asked.add(body["model"])
        return counted(body)

    path = "/openai/deployments/gpt"
    with endpoint(answer, models=None, path=path, seen=seen) as url:
        assert roll(tmp_path, f"{url}?api-version=2024-10-21").completed == 2
    calls = [(target, headers) for method, target, headers in seen if method == "POST"]
    assert {target for target, _ in calls} == {f"{path}/chat/completions?api-version=2024-10-21"}
    assert all(headers["api-key"] == "k3y" and "Authorization" not in headers for _, headers in calls)
    assert asked == {"gpt"}


def test_an_address_without_its_version_is_told_the_right_one(tmp_path):
    with endpoint(lambda body, call: counted(body)) as url:
        bare = url.removesuffix("/v1")
        for model in (None, "m"):
            with pytest.raises(PolicyError) as caught:
                roll(tmp_path, bare, model=model)
            assert f"--policy {url}" in caught.value.fix


def test_a_redirection_is_not_followed_and_said(tmp_path):
    there = "https://there:8443/v1"
    moved = (307, {}, {"Location": f"{there}/chat/completions"})
    with endpoint(lambda body, call: moved) as url, pytest.raises(PolicyError) as caught:
        roll(tmp_path, url)
    assert f"--policy {there}" in caught.value.fix


def test_a_proxy_is_used_except_where_the_environment_says_not(tmp_path, monkeypatch):
    seen = []
    with endpoint(lambda body, call: counted(body), seen=seen) as url:
        proxy = url.removesuffix("/v1").replace("://", "://bob:s3cret@")
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert roll(tmp_path / "through", "http://llm.corp.invalid/v1").completed == 2
        assert {target.split("/v1")[0] for _, target, _ in seen} <= {
            "http://llm.corp.invalid",
            "/version",
            "",
        }
        assert any("Proxy-Authorization" in headers for _, _, headers in seen)
        monkeypatch.setenv("no_proxy", "corp.invalid")
        parsed = parse_address("http://llm.corp.invalid/v1")
        assert parsed.proxy() is None and parse_address("http://127.0.0.1:1/v1").proxy() is None
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("http_proxy", "socks5://here:1080")
        with pytest.raises(UsageError, match="proxy"):
            parsed.proxy()
