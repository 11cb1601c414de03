"""Reading replies."""

import pytest

from agentray_alfworld.reply import bleu, parse_action, resolve


@pytest.mark.parametrize(
    ("reply", "action"),
    [
        ("THOUGHT: I see it.\nACTION: go to shelf 1", "go to shelf 1"),
        ("THOUGHT: I see it.\n ACTION: Go To Shelf 1 \n", "go to shelf 1"),
        ("ACTION: open drawer 1\nACTION: look", "open drawer 1"),
        ("ACTION:   ", None),
        ("go to shelf 1", None),
        ("", None),
    ],
)
def test_the_first_action_line_counts(reply, action):
    assert parse_action(reply) == action


@pytest.mark.parametrize(
    ("reference", "hypothesis", "score"),
    [
        ("go to shelf 1", "go to shelf 1", 1.0),
        ("go to shelf 1", "go to shelf 2", 0.431468),
        ("take mug 1 from shelf 1", "take mug from shelf 1", 0.308345),
        ("look", "go look", 0.067544),
        ("go to shelf 1", "shelf", 0.049787),
        ("go to shelf 1", "walk to the shelf 1 now", 0.107544),
        ("open drawer 1", "go to cabinet 3", 0.0),
    ],
)
def test_bleu_equals_nltk_with_smoothing_method_4(reference, hypothesis, score):
    assert bleu(reference, hypothesis) == pytest.approx(score, abs=1e-6)


def test_an_impossible_action_becomes_the_most_similar_one():
    possible = ["go to shelf 1", "look", "take mug 1 from shelf 1"]
    assert resolve("take mug from shelf 1", possible, fuzzy=True) == "take mug 1 from shelf 1"
    assert resolve("dance wildly", possible, fuzzy=True) == "dance wildly"
    assert resolve("take mug from shelf 1", possible, fuzzy=False) == "take mug from shelf 1"


@pytest.mark.parametrize("word", ["in/on", "in", "on", "into"])
def test_put_is_the_old_word_for_move(word):
    assert (
        resolve(f"put mug 1 {word} shelf 1", ["move mug 1 to shelf 1"], fuzzy=False)
        == "move mug 1 to shelf 1"
    )
