"""A part of a training source against the test side."""

import json

import pytest

from agentray.contamination import search as module
from agentray.contamination.parse import parse_source
from agentray.contamination.search import Search
from agentray.contamination.spans import build_index
from agentray.contamination.tokens import WordTokenizer

WORDS = [f"w{number}" for number in range(20)]
TEXTS = ["nothing", " ".join(WORDS[:12]), " ".join(WORDS[:15]), " ".join(WORDS[8:]), " ".join(WORDS[8:])]


@pytest.mark.parametrize("batch_characters", [1, 60, 1 << 20])
def test_the_spans_of_a_part_do_not_depend_on_its_batches(tmp_path, monkeypatch, batch_characters):
    monkeypatch.setattr(module, "_BATCH_CHARACTERS", batch_characters)
    path = tmp_path / "train.jsonl"
    rows = [{"text": text} | ({"id": "last"} if number == 4 else {}) for number, text in enumerate(TEXTS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"other": 1}]))
    source, tokenizer = parse_source(str(path), 1, {}), WordTokenizer()
    index = build_index(tokenizer.tokenize([" ".join(WORDS)]))
    found = Search(index, tokenizer, [(source, part) for part in source.parts()], frozenset())(0)
    assert [(hit.start, hit.stop, hit.number, hit.example) for hit in found.hits] == [
        (0, 15, 2, None),
        (8, 20, 3, None),
    ]
    assert [hit.text for hit in found.hits] == [TEXTS[2], TEXTS[3]]
    assert (found.num_records, found.num_documents, found.left_out) == (6, 5, {"no_text_in_the_fields": 1})
    assert found.num_bytes == sum(map(len, TEXTS))
