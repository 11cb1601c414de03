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


def test_start_over_empties_our_directories_and_refuses_others(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    manifest.start_over(ours)
    manifest.write(ours, manifest.Manifest("mix", {}, {}))
    manifest.start_over(ours)
    assert list(ours.iterdir()) == []
    theirs.mkdir()
    (theirs / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="not empty"):
        manifest.start_over(theirs)
    assert (theirs / "thesis.tex").exists()


def test_json_is_replaced_whole(tmp_path):
    path = tmp_path / "a.json"
    manifest.write_json(path, {"a": 1})
    manifest.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 2}
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]
