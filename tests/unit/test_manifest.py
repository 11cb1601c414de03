import json

import pytest

from agentray import manifest
from agentray.errors import DataError, UsageError


def test_a_manifest_reads_back_with_the_versions_it_was_made_by(tmp_path):
    manifest.write(tmp_path, manifest.Manifest("mix", {"eta": 0.2}, {"read": 3}))
    read = manifest.read(tmp_path)
    assert (read.stage, read.config, read.counts) == ("mix", {"eta": 0.2}, {"read": 3})
    assert "agentray" in read.versions


def test_a_directory_without_manifest_is_not_complete(tmp_path):
    with pytest.raises(UsageError, match="is not complete"):
        manifest.read(tmp_path)
    with pytest.raises(UsageError, match="no directory"):
        manifest.read(tmp_path / "absent")
    (tmp_path / manifest.NAME).write_text("{")
    with pytest.raises(DataError):
        manifest.read(tmp_path)


@pytest.mark.parametrize("text", [b"\xff", b"[1]", b"null"])
def test_a_manifest_that_is_none_is_a_data_error(tmp_path, text):
    (tmp_path / manifest.NAME).write_bytes(text)
    with pytest.raises(DataError, match="not a manifest"):
        manifest.read(tmp_path)


def test_start_over_empties_what_the_same_stage_wrote(tmp_path):
    ours, link = tmp_path / "ours", tmp_path / "link"
    manifest.start_over(ours, "mix", [])
    manifest.write(ours, manifest.Manifest("mix", {}, {}))
    manifest.start_over(ours, "mix", [tmp_path / "chats.jsonl"])
    assert list(ours.iterdir()) == []
    link.symlink_to(ours)
    manifest.start_over(link, "mix", [])
    assert link.is_symlink() and ours.is_dir()


@pytest.mark.parametrize("stage", [None, "quickstart", "\xff"])
def test_start_over_keeps_what_another_wrote(tmp_path, stage):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.tex").write_text("years of work")
    if stage == "\xff":
        (theirs / manifest.NAME).write_bytes(b"\xff")
    elif stage is not None:
        manifest.write(theirs, manifest.Manifest(stage, {}, {}))
    with pytest.raises(UsageError, match="not empty" if stage is None else "cannot write to"):
        manifest.start_over(theirs, "mix", [])
    assert (theirs / "thesis.tex").exists()
    with pytest.raises(UsageError, match="cannot write to"):
        manifest.start_over(theirs / "thesis.tex", "mix", [])


@pytest.mark.parametrize("out", ["runs/filter", "runs", "runs/filter/again", "link", "runs/mix/../filter"])
def test_start_over_keeps_what_it_is_to_read(tmp_path, out):
    read = tmp_path / "runs" / "filter"
    read.mkdir(parents=True)
    for directory in (read, read.parent):
        manifest.write(directory, manifest.Manifest("filter", {}, {}))
    (tmp_path / "link").symlink_to(read)
    with pytest.raises(UsageError, match="cannot write to"):
        manifest.start_over(tmp_path / out, "filter", [tmp_path / "other", read])
    assert manifest.is_complete(read)


def test_json_is_replaced_whole(tmp_path):
    path = tmp_path / "a.json"
    manifest.write_json(path, {"a": 1})
    manifest.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 2}
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_an_output_directory_that_is_a_file_or_lies_in_one_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(UsageError, match="cannot write to"):
            manifest.make_directory(path)
    assert (tmp_path / "file").read_text() == "mine"
