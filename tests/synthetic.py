"""Synthetic data of the general benchmarks: questions in the shapes of MMLU, GSM8K and others, as files.

Worked examples and questions are disjoint, and equal seeds give equal questions.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from synthetic_functions import function_records

from agentray.suites.reading import Records

MT_BENCH = (
    ("writing", "Write a short poem about an old bridge.", "Now rewrite it as three plain sentences."),
    (
        "roleplay",
        "Play a friendly ticket inspector on a night train. Greet a passenger who lost their ticket.",
        "The passenger offers you a sandwich instead. Answer in your role.",
    ),
    (
        "reasoning",
        "Anna is taller than Bert, and Bert is taller than Carl. Who is the shortest?",
        "Dora is taller than Anna. Name all four from tallest to shortest.",
    ),
    (
        "math",
        "A rectangle is 8 cm long and 5 cm wide. What is its area?",
        "By how much does the area grow if both sides become 1 cm longer?",
    ),
    (
        "coding",
        "Write a Python function that returns the second largest number of a list.",
        "What does your function do with a list of one number? Correct it if needed.",
    ),
    (
        "extraction",
        "List the cities in this text: We flew from Oslo to Rome and took a train to Naples.",
        "Give the same list as a JSON array.",
    ),
    ("stem", "Why does ice float on water?", "What would happen to life in lakes if ice sank?"),
    ("humanities", "What was the Silk Road?", "Name two things besides goods that travelled along it."),
)
_CAPITALS = (
    "Austria Vienna, Belgium Brussels, Canada Ottawa, Chile Santiago, China Beijing, Cuba Havana, Denmark "
    "Copenhagen, Egypt Cairo, Finland Helsinki, France Paris, Germany Berlin, Greece Athens, Hungary "
    "Budapest, Ghana Accra, Iran Tehran, Iraq Baghdad, Ireland Dublin, Italy Rome, Japan Tokyo, Kenya "
    "Nairobi, Norway Oslo, Peru Lima, Poland Warsaw, Portugal Lisbon, Romania Bucharest, Russia Moscow, "
    "Spain Madrid, Sweden Stockholm, Thailand Bangkok, Ukraine Kyiv"
)
_OPPOSITES = (
    "hot cold, big small, early late, open closed, full empty, light dark, wet dry, happy sad, fast slow, "
    "strong weak, old young, near far, hard soft, loud quiet, rich poor, clean dirty, deep shallow, wide "
    "narrow, cheap expensive, thick thin, sharp blunt, rough smooth, brave cowardly, rare common, sweet "
    "bitter, safe dangerous"
)
_KINDS = {
    "animal": ["horse", "tiger", "rabbit", "eagle", "whale", "sheep", "frog", "monkey", "goat", "wolf"],
    "fruit": ["apple", "banana", "cherry", "grape", "fig", "mango", "papaya", "pear", "kiwi", "melon"],
    "tool": ["hammer", "saw", "drill", "wrench", "chisel", "pliers", "screwdriver", "shovel", "rake", "axe"],
    "colour": ["red", "blue", "green", "yellow", "purple", "brown", "pink", "grey", "black", "white"],
    "vehicle": ["car", "bus", "train", "bicycle", "truck", "ship", "tractor", "helicopter", "tram", "canoe"],
}
_NAMES = "Ada Ben Chloe Dan Eva Finn Gina Hugo Ines Jack Kira Liam Mona Noah Olga Paul Rosa Sam Tara Vera"
_THINGS = "apples marbles stickers books coins pencils shells stamps cards buttons"

_MOST_REPEATS = 10_000
"""Draws without a new question after which there are no more."""

_Choice = tuple[str, str, list[str]]
"""Question, right answer, three wrong ones."""
_Problem = tuple[str, list[str], int]
"""Question, steps, result."""


def write(file: Path, rows: Any) -> None:
    """Write records, one a line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def benchmark_files(directory: Path, seed: int = 0) -> Path:
    """Files of all benchmarks of the suite `general`; returns the directory."""
    train, test = arithmetic_records(seed)
    write(directory / "gsm8k" / "train.jsonl", train.values())
    write(directory / "gsm8k" / "test.jsonl", test.values())
    write(directory / "humaneval" / "humaneval.jsonl", function_records(seed).values())
    rows = [
        {"question_id": index, "category": category, "turns": turns}
        for index, (category, *turns) in enumerate(MT_BENCH)
    ]
    write(directory / "mtbench" / "question.jsonl", rows)
    text = Path(__file__).with_name("conversations.txt").read_text(encoding="utf-8")
    pairs = [block.split("\n", 1) for block in text.strip().split("\n\n")]
    talks = [
        {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]}
        for asked, said in pairs
    ]
    write(directory / "loss" / "conversations.jsonl", talks)
    return directory


def choice_records(seed: int, count: int = 100) -> tuple[Records, Records]:
    """Multiple-choice records as MMLU's dev and test files have them: five examples a subject, then `count`.

    Args:
        seed: Of everything drawn.
        count: Test records, at most 100, subjects in turn; a larger count begins with the same records.
    """
    dev: Records = {}
    streams = []
    for subject, draw in _SUBJECTS.items():
        rng = random.Random(f"choices {seed} {subject}")
        stream = _distinct(draw, rng)
        for index in range(5):
            dev[f"dev:{subject}-{index}"] = _choice_row(subject, next(stream), rng)
        streams.append((subject, stream, rng))
    test: Records = {}
    for index in range(count):
        subject, stream, rng = streams[index % len(streams)]
        test[f"test:{index}"] = _choice_row(subject, next(stream), rng)
    return dev, test


def arithmetic_records(seed: int, count: int = 40) -> tuple[Records, Records]:
    """Word problems as GSM8K's train and test files have them: eight worked examples, then `count`.

    Args:
        seed: Of everything drawn.
        count: Test records; a larger count begins with the same records.
    """
    rng = random.Random(f"arithmetic {seed}")
    rows = [
        {"question": question, "answer": "\n".join([*steps, f"#### {result}"])}
        for question, steps, result in islice(_distinct(_problem, rng), 8 + count)
    ]
    train = {f"train:{index}": row for index, row in enumerate(rows[:8])}
    return train, {f"test:{index}": row for index, row in enumerate(rows[8:])}


def _distinct(draw: Callable[[random.Random], Any], rng: random.Random) -> Iterator[Any]:
    """What `draw` gives, without repeated questions (its first part), as long as it gives new ones."""
    seen: set[str] = set()
    repeated = 0
    while repeated < _MOST_REPEATS:
        drawn = draw(rng)
        repeated += 1
        if drawn[0] not in seen:
            seen.add(drawn[0])
            repeated = 0
            yield drawn


def _choice_row(subject: str, choice: _Choice, rng: random.Random) -> dict[str, Any]:
    question, right, wrong = choice
    options = [right, *wrong]
    rng.shuffle(options)
    return {
        "subject": subject,
        "question": question,
        "choices": options,
        "answer": "ABCD"[options.index(right)],
    }


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(first, second) for first, second in (pair.split() for pair in text.split(", "))]


def _capital(rng: random.Random) -> _Choice:
    (country, capital), *others = rng.sample(_pairs(_CAPITALS), 4)
    return f"What is the capital of {country}?", capital, [other for _, other in others]


def _opposite(rng: random.Random) -> _Choice:
    (word, opposite), *others = rng.sample(_pairs(_OPPOSITES), 4)
    return f"Which word means the opposite of {word}?", opposite, [other for _, other in others]


def _kind(rng: random.Random) -> _Choice:
    kind, *others = rng.sample(sorted(_KINDS), 4)
    wrong = [rng.choice(_KINDS[other]) for other in others]
    right = rng.choice(_KINDS[kind])
    article = "an" if kind[0] in "aeiou" else "a"
    return f"One of {', '.join(sorted([right, *wrong]))} is {article} {kind}. Which one?", right, wrong


def _sum(rng: random.Random) -> _Choice:
    first, second = rng.randint(2, 60), rng.randint(2, 60)
    wrong = rng.sample([first + second + each for each in (-10, -2, -1, 1, 2, 10)], 3)
    return f"What is {first} + {second}?", str(first + second), [str(each) for each in wrong]


def _next_number(rng: random.Random) -> _Choice:
    start, step = rng.randint(1, 30), rng.randint(2, 12)
    shown = [start + step * index for index in range(4)]
    right = shown[-1] + step
    wrong = rng.sample([right - 1, right + 1, right + step, right + 2 * step, right - step], 3)
    return (
        f"Which number comes next: {', '.join(map(str, shown))}?",
        str(right),
        [str(each) for each in wrong],
    )


_SUBJECTS: dict[str, Callable[[random.Random], _Choice]] = {
    "capitals": _capital,
    "opposites": _opposite,
    "kinds_of_things": _kind,
    "addition": _sum,
    "number_sequences": _next_number,
}


def _problem(rng: random.Random) -> _Problem:
    return rng.choice(_PROBLEMS)(rng)


def _give_away(rng: random.Random) -> _Problem:
    name, thing = rng.choice(_NAMES.split()), rng.choice(_THINGS.split())
    had, gave, got = rng.randint(30, 90), rng.randint(3, 25), rng.randint(3, 25)
    left = had - gave
    return (
        f"{name} has {had} {thing}, gives {gave} of them away and then gets {got} new ones. How many {thing} "
        f"does {name} have now?",
        [
            f"After giving {gave} away there are {had} - {gave} = {left}.",
            f"With {got} more it is {left} + {got} = {left + got}.",
        ],
        left + got,
    )


def _shopping(rng: random.Random) -> _Problem:
    name, thing = rng.choice(_NAMES.split()), rng.choice(_THINGS.split())
    count, price = rng.randint(2, 9), rng.randint(2, 9)
    paid = count * price + rng.randint(1, 20)
    return (
        f"{name} buys {count} {thing} for ${price} each and pays with ${paid}. How many dollars does {name} "
        f"get back?",
        [
            f"The {thing} cost {count} * {price} = {count * price} dollars.",
            f"{name} gets {paid} - {count * price} = {paid - count * price} dollars back.",
        ],
        paid - count * price,
    )


def _boxes(rng: random.Random) -> _Problem:
    name, thing = rng.choice(_NAMES.split()), rng.choice(_THINGS.split())
    boxes, each, loose = rng.randint(2, 9), rng.randint(4, 12), rng.randint(1, 15)
    return (
        f"{name} fills {boxes} boxes with {each} {thing} each, and {loose} {thing} are left over. How many "
        f"{thing} are there in all?",
        [
            f"The boxes hold {boxes} * {each} = {boxes * each}.",
            f"Together with the rest it is {boxes * each} + {loose} = {boxes * each + loose}.",
        ],
        boxes * each + loose,
    )


def _sharing(rng: random.Random) -> _Problem:
    name, thing = rng.choice(_NAMES.split()), rng.choice(_THINGS.split())
    friends, share, kept = rng.randint(2, 8), rng.randint(3, 12), rng.randint(1, 10)
    total = friends * share + kept
    return (
        f"{name} has {total} {thing}, keeps {kept} and shares the others equally among {friends} friends. "
        f"How many {thing} does each friend get?",
        [
            f"To share there are {total} - {kept} = {friends * share}.",
            f"Each friend gets {friends * share} / {friends} = {share}.",
        ],
        share,
    )


def _saving(rng: random.Random) -> _Problem:
    name = rng.choice(_NAMES.split())
    weekly, weeks, spent = rng.randint(11, 30), rng.randint(3, 9), rng.randint(5, 30)
    saved = weekly * weeks
    return (
        f"{name} saves ${weekly} a week for {weeks} weeks and then spends ${spent}. How many dollars "
        f"are left?",
        [
            f"In {weeks} weeks {name} saves {weekly} * {weeks} = {saved} dollars.",
            f"After spending it is {saved} - {spent} = {saved - spent} dollars.",
        ],
        saved - spent,
    )


_PROBLEMS = (_give_away, _shopping, _boxes, _sharing, _saving)
