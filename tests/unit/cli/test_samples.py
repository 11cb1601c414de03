"""`agentray mix --show`: what is learnt, as a person reads it."""

import json

from fakes import byte_tokenizer

from agentray.cli import main


def mixed(tmp_path, capsys, *options):
    byte_tokenizer().save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (tmp_path / "model" / "model.safetensors").write_bytes(b"")
    talk = [{"role": "user", "content": "[red]Colour?[/red]"}, {"role": "assistant", "content": "Blue <b>."}]
    (tmp_path / "talk.jsonl").write_text("\n".join([json.dumps({"messages": talk})] * 3))
    place = {each: str(tmp_path / each) for each in ("talk.jsonl", "model", "mix")}
    sides = ["--general", f"web={place['talk.jsonl']}", "--eta", "0"]
    try:
        main(["mix", *sides, "--model", place["model"], "--out", place["mix"], *options])
    except SystemExit as done:
        assert not done.code
    return capsys.readouterr()


def test_samples_are_shown_with_their_loss_marked_and_their_text_as_it_is(tmp_path, capsys):
    shown = mixed(tmp_path, capsys, "--show", "1").err
    assert "web 1: " in shown and "web 2: " not in shown
    assert "[red]Colour?[/red]<|im_end|>" in shown
    assert "⟦Blue <b>.<|im_end|>⟧" in shown


def test_with_json_stdout_holds_one_document_and_nothing_else(tmp_path, capsys):
    document = json.loads(mixed(tmp_path, capsys, "--show", "2", "--json").out)
    assert document["read"] == {"web": 3} and document["rejected"] == {"web": {}}
