"""The page is one well-formed file that loads nothing, whatever the report and the models hold."""

import base64
import hashlib
import json
import re
import shlex
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from agentray.config import EvaluateConfig, RolloutConfig, load
from agentray.report import charts, records
from agentray.report.archive import Archive, pack
from agentray.report.markup import environment
from agentray.report.page import write_page
from agentray.report.records import Report
from agentray.report.text import duration, number, percent, size, visible

HOSTILE = (
    "</script></style></pre><img src=x onerror=alert(1)><script>alert(2)</script>\" ' {{ x }} \ud800 \x00"
)
STORED = HOSTILE.replace("\ud800", "")
"""No store and no JSON file holds half a surrogate pair."""
ROLLOUT = RolloutConfig(
    envs=["count"],
    out="runs/a b",
    seed=7,
    policy="random",
    sampling={"temperature": 0.7},
    env={"count": {"max_turns": 4}},
    temperatures=[0.5, 1.0],
)
ROW = {
    "before": 0.0,
    "after": 0.828,
    "n": 64,
    "tasks": 64,
    "before_interval": (0.0, 0.057),
    "after_interval": (0.718, 0.901),
    "p_value": 1e-9,
    "test": "exact McNemar",
    "detectable": 0.09,
    "difference_interval": (0.7, 0.92),
    "family": "held_in",
    "extra": {"before": {"select_accuracy": 0.0}, "after": {"select_accuracy": 0.79, "turns": 2.1}},
    "n_by_category": {"select": 60, "update": 4},
    "few": ["update"],
}
SINGLE = {
    "score": 0.5,
    "interval": (0.4, 0.6),
    "failed": 1,
    "settings": {"max_turns": 4},
    **{name: ROW[name] for name in ("n", "tasks", "family", "n_by_category", "few")},
    "extra": {"score": {"select_accuracy": 0.5}},
}
RUN = {
    "name": "before",
    "directory": "runs/before",
    "policies": ["smol"],
    "attempts": 64,
    "scored": 63,
    "truncated": 2,
    "failed": 1,
    "turns": 300,
    "prompt_tokens": None,
    "completion_tokens": 9000,
    "attempt_s": 1.5,
    "wall_s": 90.0,
    "stage": "rollout",
    "config": ROLLOUT.model_dump(mode="json"),
}
GROUP = {
    "title": "held-out",
    "overall": 1.234,
    "failed_as_zero": 1.2,
    "tasks": {},
    "missing": (),
    "comparable": False,
    "notes": ["webarena: synthetic tasks"],
}
REPORT = {
    "stages": [
        {"name": "rollout", "wall_s": 38.5, "counts": {"read": 400, "failed": 2}},
        {"name": "train", "wall_s": 402.7, "counts": {"steps": 3, "nested": {"a": 1}}},
    ],
    "scores": {"database": ROW, "alfworld": {**ROW, "before": 0.031, "after": 0.61, "few": []}},
    "further": {"third": {"database": {**ROW, "after": 0.4}}},
    "left_out": {"after": {"database": {"before": 3, "after": 2}}},
    "overall": {"baselines": "v7", "policies": {"tuned": {"held_out": GROUP}, "base": {}}, "left_out": ()},
    "pairs": [{"label": "Real records", "scores": {"database": {**ROW, "n": 60, "after": 0.253}}}],
    "suites": [
        {
            "directory": "runs/suite",
            "policy": "tuned",
            "tasks": {
                "mmlu": {"score": 41.5, "n": 200, "interval": (35.0, 48.0), "scale": "0-100"},
                "made": {"score": 3.0, "n": 9, "synthetic": True},
                "mtbench": {"skipped": "there is no judge"},
            },
        },
        {"directory": "runs/other", "policy": "base", "tasks": {"mmlu": {"score": 30.0, "n": 200}}},
    ],
    "general": {"before_nll": 1.352, "after_nll": 1.371},
    "training": {
        "steps": [1, 2, 3],
        "loss": [2.0, 1.0, 0.5],
        "loss_by_source": {"database": [2.4, None, 0.1], "general": [1.3, 1.3, 1.2]},
        "tokens_per_s": 823.4,
        "tokens": 1000,
        "loss_tokens": 100,
    },
    "data": {
        "read": 400,
        "kept": 312,
        "rejected": {"low_reward": 88},
        "eta": 0.2,
        "realised": {"agent": 0.207},
    },
    "runs": [RUN, {**RUN, "name": "after", "turns": 290, "stage": "rescore", "completion_tokens": None}],
    "errors": {
        "database": {
            "types": {"refusal": {"id": "refusal", "title": "Refusal", "rule": "it says no"}},
            "runs": {
                "before": {"of": 64, "counts": {"refusal": {"count": 16, "of": 64}}},
                "after": {"of": 64, "counts": {}},
            },
        }
    },
    "sweep": {
        "recommended_eta": 0.2,
        "trials": [
            {
                "settings": {"train.eta": eta, "train.seed": 7},
                "scores": {"database": eta},
                "general_after": 1.8,
            }
            | {"recommended": eta == 0.2}
            for eta in (0.2, 0.8)
        ],
    },
    "recipe": {
        "peak_memory_bytes": 4_402_341_478,
        "wall_s": 741.2,
        "pace": {"minutes": 5, "cut": {"num_steps": {"taken": 20, "full": 44}}},
    },
    "versions": {"ray": "2.60.0"},
    "commit": "5f0c6a1d",
    "serve_command": "agentray serve --model runs/train/model",
}

ARCHIVE = Archive(pack({"any": HOSTILE}), pack([HOSTILE]), (pack([HOSTILE]), pack([])), num_attempts=128)

VOID = {"meta", "link", "img", "br", "hr", "input", "base"}


class Page(HTMLParser):
    """Collects tags, attributes and text; fails on a tag that closes what is not open."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.source = source
        self.feed(source)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        self.text += data

    def ids(self):
        return [attrs["id"] for _, attrs in self.tags if "id" in attrs]


@pytest.fixture
def page(tmp_path):
    def write(report=REPORT, archive=ARCHIVE) -> Page:
        path = tmp_path / "page.html"
        write_page(Report.model_validate(report), archive, path)
        assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
        return Page(path.read_text(encoding="utf-8"))

    return write


def assert_safe(page: Page) -> None:
    """Nothing is loaded, and of scripts and styles only the ones whose hashes the policy names apply."""
    for tag, attrs in page.tags:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "form", "audio", "video"}
        assert not [n for n in attrs if n.startswith("on") or n in ("src", "srcset", "xlink:href", "style")]
        assert tag != "a" or attrs["href"].startswith("#")
    (policy,) = [a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy
    for tag, attributes in (("script", ' type="module"'), ("style", "")):
        (text,) = re.findall(rf"<{tag}{attributes}>(.*?)</{tag}>", page.source, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
        assert "url(" not in text and "@import" not in text and "innerHTML" not in text
    assert "http://" not in page.source and "https://" not in page.source


def fields(kind):
    return getattr(kind, "model_fields", None) or getattr(kind, "__dataclass_fields__", ())


OWN = {name for kind in vars(records).values() for name in fields(kind)} | {"before", "after", "held_out"}
OWN |= {*GROUP, "policies", "tasks", "taken", "full", "id", "title", "rule"} | set(SINGLE) | set(ROW)


def poisoned(value):
    """The report with a hostile text in the place of every text, and of every name that is not its own."""
    if isinstance(value, dict):
        return {key if key in OWN else STORED: poisoned(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [poisoned(inner) for inner in value]
    return STORED if isinstance(value, str) and value != "held_in" else value


def test_full_page_is_well_formed_and_loads_nothing(page):
    full = page()
    assert_safe(full)
    assert len(full.ids()) == len(set(full.ids()))
    targets = [attrs["href"][1:].partition("?")[0] for tag, attrs in full.tags if tag == "a"]
    assert set(targets) <= set(full.ids())


def test_headline_and_sections_say_the_numbers(page):
    text = re.sub(r"[ \n]+", " ", page().text)
    assert "From 0% to 83% on database and from 3% to 61% on alfworld" in text
    for part in (
        *("p < 0.001", "72% to 90%", "+83 +70 to +92", "9 points", "smallest difference"),
        *("before and third", "Not compared: database: 3 of before, 2 of after."),
        *("select60", "update few4", "database has fewer than 10 attempts in update"),
        *("held-out1.23", "v7", "webarena: synthetic tasks"),
        *("Real records", "0% → 25%"),
        *("41.5 35 to 48", "made synthetic", "skipped"),
        *("16 25%", "+1.4%", "312 of 400", "Mixture: η = 0.2 asked for; agent 0.207."),
        *("0.2 recommended7", "1.800", "12 min 21 s", "4.1 GiB", "num_steps 20 instead of 44", "2.60.0"),
        *("Tokens written9,000", "read 400 · failed 2", "Repeat the runs", "agentray serve --model"),
    ):
        assert part in text, part


def test_hostile_names_and_texts_are_shown_and_close_nothing(page):
    hostile = page(poisoned(REPORT))
    assert_safe(hostile)
    assert "{{ x }}" in hostile.text
    for section in (
        "scores",
        "overall",
        "pairs",
        "general",
        "errors",
        "training",
        "data",
        "cost",
        "reproduce",
    ):
        shown = re.search(rf'<section id="{section}".*?</section>', hostile.source, re.DOTALL)[0]
        assert "&lt;img src=x onerror=alert(1)&gt;" in shown, section


@pytest.mark.parametrize("part", sorted(REPORT))
def test_a_missing_part_leaves_a_valid_page(page, part):
    assert_safe(page({key: value for key, value in REPORT.items() if key != part}))


def test_an_empty_report_says_so(page):
    empty = page({}, None)
    assert "has no scores" in empty.text
    assert "scores" not in empty.ids() and "trajectories" not in empty.ids()
    assert "<script" not in empty.source and "script-src 'none'" in empty.source


def test_one_run_has_scores_and_nothing_to_compare(page):
    text = page({"scores": {"count": SINGLE}, "runs": [RUN]}).text
    assert "50% on count" in text and "4 max_turns · held-in" in text and "64 attempts by smol." in text
    assert "p compares" not in text and "detectable" not in text


def test_many_environments_get_a_short_headline(page):
    scores = {f"env{i}": {**ROW, "before": 0.1, "after": 0.1 + 0.1 * i} for i in range(5)}
    text = page({"scores": scores}).text
    assert "Better on 4 of 5 environments; env4 moved most, from 10% to 50%" in text


def test_attempts_at_fewer_tasks_are_shown_as_such(page):
    assert "24 at 3 tasks" in page({"scores": {"count": {**ROW, "n": 24, "tasks": 3}}}).text
    assert "at 24 tasks" not in page({"scores": {"count": {**ROW, "n": 24, "tasks": 24}}}).text


def test_a_page_without_an_overall_says_why(page):
    text = page({"no_overall": "the held-out tasks lack webarena"}).text
    assert "No Overall: the held-out tasks lack webarena." in text
    assert "Overall" not in page({}).text


def test_a_page_of_some_attempts_says_of_how_many(page):
    assert "attempts are on this page" not in page().text
    assert "32 of 128 attempts are on this page" in page(archive=Archive("", "", (), num_attempts=32)).text


EVALUATION = EvaluateConfig(envs=["count"], out="e", policy="random", env={"count": {"max_turns": 4}})


@pytest.mark.parametrize("config", [ROLLOUT, EVALUATION, EVALUATION.model_copy(update={"out": None})])
def test_the_page_says_how_to_repeat_a_run(page, config):
    stage = "rollout" if config is ROLLOUT else "evaluate"
    shown = page({"runs": [{**RUN, "stage": stage, "config": config.model_dump(mode="json")}]}).text
    arguments = shlex.split(re.search(r"Repeat the runs:(.*?)report.json,", shown, re.DOTALL).group(1))
    assert arguments[:4] == ["agentray", stage, "--env", "count"]
    sets = [arguments[place + 1] for place, each in enumerate(arguments) if each == "--set"]
    given = {"envs": ["count"]}
    if "--out" in arguments:
        given["out"] = arguments[arguments.index("--out") + 1]
    assert load(type(config), stage, overrides=sets, values=given) == config


def test_a_run_of_a_tasks_file_is_repeated_with_the_file(page):
    config = {**ROLLOUT.model_dump(mode="json"), "tasks": "some tasks.jsonl", "split": "test"}
    shown = page({"runs": [{**RUN, "config": config}]}).text
    assert "agentray rollout --tasks 'some tasks.jsonl' --out 'runs/a b' --set" in shown
    assert "--env count" not in shown and "rollout.split" not in shown


def test_a_name_that_a_template_does_not_know_is_an_error():
    with pytest.raises(Exception, match="'absent' is undefined"):
        environment().from_string("{{ absent }}").render()


def test_the_script_only_ever_writes_text():
    parts = [each for each in files("agentray.report").joinpath("assets").iterdir() if each.suffix == ".js"]
    assert len(parts) == 6
    for file in parts:
        source = file.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(", source)
        assert "</script" not in source
        assert source.count("\n") <= 400


def test_text_that_reorders_or_cannot_be_encoded_is_made_visible():
    assert visible("a\u202eb\ud800\x00\r\n<") == "a\ufffdb?\u2400\n<"


def test_numbers_read_well():
    assert [percent(share) for share in (0, 0.004, 0.253, 0.999, 1)] == ["0%", "0.4%", "25%", "99.9%", "100%"]
    assert [duration(t) for t in (1.14, 38.2, 59.7, 724, 7260)] == [
        "1.1 s",
        "38 s",
        "1 min 0 s",
        "12 min 4 s",
        "2 h 1 min",
    ]
    assert [size(n) for n in (12, 2048, 4.1 * 2**30)] == ["12 bytes", "2 KiB", "4.1 GiB"]
    assert [number(value) for value in (True, "1", None, float("nan"), 2)] == [None, None, None, None, 2.0]


def test_curve_file_stands_alone(tmp_path):
    path = tmp_path / "plot.svg"
    curves = {"agent <score>": [(1.0, 0.8), (0.0, 0.1)], "general NLL": [(0.0, 1.3), (1.0, 1.3)], "none": []}
    charts.write_curve(curves, path, "Score & η")
    text = path.read_text(encoding="utf-8")
    assert Page(text).open == []
    assert text.count("<polyline") == 2 and text.count("<circle") == 4
    assert "agent &lt;score&gt;" in text and "no points" in text
    assert text.count("http") == 1 and 'xmlns="http://www.w3.org/2000/svg"' in text


def test_raw_numbers_are_in_the_page(page):
    document = Report.model_validate(REPORT).document()
    assert json.dumps(document, indent=1, ensure_ascii=False) in page().text
    assert document["wall_s"] == 741.2 and "recipe" not in document and "no_overall" not in document
