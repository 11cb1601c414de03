"""The page is one well-formed file that loads nothing, whatever the report and the models hold."""

import base64
import hashlib
import json
import re
import shlex
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from agentray.config import RolloutConfig, load
from agentray.report import charts
from agentray.report.archive import Archive, pack
from agentray.report.markup import clean, duration, number, percent, size
from agentray.report.page import write_page

HOSTILE = (
    "</script></style></pre><img src=x onerror=alert(1)><script>alert(2)</script>\" ' ${headline} \ud800 \x00"
)

REPORT = {
    "stages": [
        {"name": "rollout", "wall_s": 38.5, "counts": {"read": 400, "failed": 2}},
        {"name": "train", "wall_s": 402.7, "counts": {"steps": 3, "nested": {"a": 1}}},
    ],
    "scores": {
        "database": {
            "before": 0.0,
            "after": 0.828,
            "n": 64,
            "before_interval": [0.0, 0.057],
            "after_interval": [0.718, 0.901],
            "p_value": 1e-9,
            "test": "exact McNemar",
            "detectable": 0.09,
            "difference_interval": [0.7, 0.92],
            "family": "held_in",
            "extra": {"before": {"select_accuracy": 0.0}, "after": {"select_accuracy": 0.79, "turns": 2.1}},
        },
        "alfworld": {"before": 0.031, "after": 0.61, "n": 64, "family": "held_in"},
    },
    "agentbench_dev": {"overall_cat_accuracy": {"before": 0.0, "after": 0.253}, "n": 60},
    "general": {"before_nll": 1.352, "after_nll": 1.371},
    "training": {
        "steps": [1, 2, 3],
        "loss": [2.0, 1.0, 0.5],
        "loss_by_source": {"database": [2.4, None, 0.1], "general": [1.3, 1.3, 1.2]},
        "tokens_per_s": 823.4,
    },
    "data": {
        "read": 400,
        "kept": 312,
        "rejected": {"low_reward": 88},
        "eta": 0.2,
        "realised": {"agent": 0.207},
    },
    "runs": [
        {
            "name": "before",
            "attempts": 64,
            "turns": 300,
            "attempt_s": 1.5,
            "stage": "rollout",
            "config": RolloutConfig(
                envs=["count"],
                out="runs/a b",
                seed=7,
                policy="random",
                sampling={"temperature": 0.7},
                env={"count": {"max_turns": 4}},
                temperatures=[0.5, 1.0],
            ).model_dump(mode="json"),
        },
        {"name": "after", "attempts": 64, "turns": 290},
    ],
    "errors": {
        "database": {
            "types": {"refusal": {"title": "Refusal", "rule": "it says no"}},
            "runs": {
                "before": {"of": 64, "counts": {"refusal": {"count": 16, "of": 64}}},
                "after": {"of": 64},
            },
        }
    },
    "sweep": {"recommended_eta": 0.2, "trials": [{"eta": 0.2, "scores": {"database": 0.5}}]},
    "peak_memory_bytes": 4_402_341_478,
    "wall_s": 741.2,
    "versions": {"ray": "2.60.0"},
    "commit": "5f0c6a1d",
    "serve_command": "agentray serve --model runs/train/model",
}

ARCHIVE = Archive(pack({"any": HOSTILE}), pack([HOSTILE]), (pack([HOSTILE]), pack([])))

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
        write_page(report, archive, path)
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


def poison(value):
    if isinstance(value, dict):
        return {key if key.isidentifier() else HOSTILE: poison(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [poison(inner) for inner in value]
    return HOSTILE if isinstance(value, str) else value


def test_full_page_is_well_formed_and_loads_nothing(page):
    full = page()
    assert_safe(full)
    assert len(full.ids()) == len(set(full.ids()))
    targets = [attrs["href"][1:].partition("?")[0] for tag, attrs in full.tags if tag == "a"]
    assert set(targets) <= set(full.ids())


def test_headline_and_sections_say_the_numbers(page):
    text = page().text
    assert "From 0% to 83% on database and from 3% to 61% on alfworld" in text
    for part in (
        "p < 0.001",
        "16 25%",  # 16 refusals, 25% of the attempts
        "0% → 25%",
        "+1.4%",
        "312 of 400",
        "12 min 21 s",
        "4.1 GiB",
        "2.60.0",
    ):
        assert part in text


def test_hostile_names_are_shown_and_close_nothing(page):
    report = poison(REPORT)
    report["scores"] = {HOSTILE: {**REPORT["scores"]["database"], "family": HOSTILE}}
    report["training"]["loss_by_source"] = {HOSTILE: [1.0, 2.0, 3.0]}
    report["data"]["rejected"] = {HOSTILE: 3}
    report["agentbench_dev"] = {HOSTILE: {"before": 0.1, "after": 0.2}}
    report["runs"][0]["name"] = HOSTILE
    counted = {HOSTILE: {"of": 4, "counts": {HOSTILE: {"count": 2, "of": 4}}}}
    group = {"title": HOSTILE, "overall": 1.5, "notes": [HOSTILE]}
    report["overall"] = {"baselines": HOSTILE, "policies": {HOSTILE: {"held_in": group}}}
    kinds = {HOSTILE: {"title": HOSTILE, "rule": HOSTILE}}
    report["errors"] = {HOSTILE: {"types": kinds, "runs": counted}}
    report["left_out"] = {HOSTILE: {HOSTILE: {"before": 1, "after": 2}}}
    report["suites"] = [{"policy": HOSTILE, "tasks": {HOSTILE: {"score": 1.0, "scale": HOSTILE}}}]
    hostile = page(report)
    assert_safe(hostile)
    assert "<img src=x onerror=alert(1)>" in hostile.text
    assert "${headline}" in hostile.text


@pytest.mark.parametrize("part", sorted(REPORT))
def test_a_missing_part_leaves_a_valid_page(page, part):
    assert_safe(page({key: value for key, value in REPORT.items() if key != part}))


@pytest.mark.parametrize("part", sorted(REPORT))
def test_an_empty_or_odd_part_leaves_a_valid_page(page, part):
    for odd in (None, {}, [], [None], "text", {"before": None, "steps": [], "loss": None}):
        assert_safe(page({**REPORT, part: odd}))


def test_an_empty_report_says_so(page):
    empty = page({}, None)
    assert "has no scores" in empty.text
    assert "scores" not in empty.ids() and "trajectories" not in empty.ids()
    assert "<script" not in empty.source and "script-src 'none'" in empty.source


def test_unknown_is_never_shown_as_zero(page):
    text = page({"scores": {"database": {"before": float("nan"), "after": 0.5}}}).text
    assert "not scored → 50%" in text
    assert "has no scores" in text


def test_many_environments_get_a_short_headline(page):
    scores = {f"env{i}": {"before": 0.1, "after": 0.1 + 0.1 * i} for i in range(5)}
    text = page({"scores": scores}).text
    assert "Better on 4 of 5 environments; env4 moved most, from 10% to 50%" in text
    scores["env4"]["before"] = 0.95
    assert "Better on 3 of 5 environments; env4 moved most, from 95% to 50%" in page({"scores": scores}).text


def test_attempts_at_fewer_tasks_are_shown_as_such(page):
    row = {"before": 0.1, "after": 0.2, "n": 24, "tasks": 3}
    assert "24 at 3 tasks" in page({"scores": {"count": row}}).text
    assert "at 24 tasks" not in page({"scores": {"count": {**row, "tasks": 24}}}).text


def test_scores_come_with_their_uncertainty(page):
    text = page().text
    for part in ("72% to 90%", "+83 +70 to +92", "< 0.001", "9 points", "smallest difference"):
        assert part in text


def test_the_overall_names_its_baselines_and_what_keeps_it_from_comparison(page):
    group = {"title": "held-out", "overall": 1.234, "notes": ["webarena: a stand-in"], "comparable": False}
    text = page({"overall": {"baselines": "v7", "policies": {"tuned": {"held_out": group}}}}).text
    for part in ("held-out1.23", "v7", "webarena: a stand-in"):
        assert part in text


def test_a_page_without_an_overall_says_why(page):
    assert (
        "No Overall: the held-out tasks lack webarena."
        in page({"overall": {"why_not": "the held-out tasks lack webarena"}}).text
    )
    assert "Overall" not in page({"overall": {}}).text


def test_the_page_says_how_to_repeat_a_run(page):
    written = re.search(r"Repeat the runs:(.*?)commit", page().text, re.DOTALL).group(1)
    arguments = shlex.split(written)
    assert arguments[:4] == ["agentray", "rollout", "--env", "count"]
    sets = [arguments[place + 1] for place, each in enumerate(arguments) if each == "--set"]
    given = {"envs": ["count"], "out": arguments[arguments.index("--out") + 1]}
    again = load(RolloutConfig, "rollout", overrides=sets, values=given)
    assert again.model_dump(mode="json") == REPORT["runs"][0]["config"]


def test_the_script_only_ever_writes_text():
    parts = [
        each
        for each in files("agentray.report").joinpath("assets").iterdir()
        if each.name.endswith((".js", ".html"))
    ]
    assert len(parts) == 8
    for file in parts:
        source = file.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(", source)
        assert "</script" not in source or file.name == "page.html"
        assert source.count("\n") <= 400


def test_text_that_reorders_or_cannot_be_encoded_is_made_visible():
    assert clean("a\u202eb\ud800\x00\r\n<") == "a\ufffdb?\u2400\n&lt;"


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


def test_smoothing_keeps_the_start_and_the_length():
    assert charts.smooth([(0, 4.0), (1, 2.0), (2, 0.0)], 2) == [(0, 4.0), (1, 3.0), (2, 1.0)]


def test_curve_file_stands_alone(tmp_path):
    path = tmp_path / "plot.svg"
    curves = {"agent <score>": [(1.0, 0.8), (0.0, 0.1)], "general NLL": [(0.0, 1.3), (1.0, 1.3)], "none": []}
    charts.write_curve(curves, path, "Score & η")
    text = path.read_text(encoding="utf-8")
    assert Page(text).open == []
    assert text.count("<polyline") == 2 and text.count("<circle") == 4
    assert "agent &lt;score&gt;" in text and "no points" in text
    assert text.count("http") == 1 and 'xmlns="http://www.w3.org/2000/svg"' in text


def test_curve_of_one_point_and_of_nothing(tmp_path):
    charts.write_curve({"score": [(0.2, 0.0)]}, tmp_path / "one.svg", "one")
    with pytest.raises(ValueError, match="no curve"):
        charts.write_curve({}, tmp_path / "none.svg", "none")


def test_raw_numbers_are_in_the_page(page):
    assert json.dumps(REPORT, indent=1, ensure_ascii=False) in page().text
