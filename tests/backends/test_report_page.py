"""The report's page in a real Chromium, opened from its file."""

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import pytest
from chromium import browser, install_chromium
from fakes import trajectory

from agentray import manifest
from agentray.evaluate.outcomes import Outcomes, outcome
from agentray.report import reading
from agentray.report.archive import encode
from agentray.report.page import write_page
from agentray.report.records import Report
from agentray.types import Message, Reply, Turn, Usage

pytestmark = pytest.mark.browser

HOSTILE = (
    "</script><script>document.title = 'taken'</script><!-- <img src=x onerror=\"document.title='taken'\">"
    "\u2028\u2029 \u202egnitirw \ud800 lone \x00\x1b[31m ${x} {{x}} <svg/onload=1>"
)
HUGE = "x" * 400_000
NUM_TASKS = 1500


@pytest.fixture(scope="module")
def runner():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def page(runner):
    program = install_chromium()
    if program is None:
        pytest.skip("chromium is not installed and could not be: apt-get install chromium")
    opened = browser(program)
    yield runner.run(opened.__aenter__())
    runner.run(opened.__aexit__(None, None, None))


def a_run(name, trajectories):
    """A run as the report reads it, without a store: a store refuses lone surrogates."""
    outcomes = Outcomes(Path(name), [outcome(each) for each in trajectories])
    return reading.read_run(name, outcomes, trajectories, manifest.Manifest("rollout", {}, {}))


def written(path, *runs):
    report = Report(runs=[run.cost for run in runs], errors=reading.errors(runs))
    write_page(report, encode(runs, [None for _ in runs]), path)
    return path


def lost(index):
    """Three equal replies that ask for nothing, and end an attempt."""
    turns = tuple(Turn(Reply("I am sorry."), None, f"Say a number, {index}.") for _ in range(3))
    return trajectory(index, reward=0.0, turns=turns, policy="base-model")


def won(index):
    steps = (
        Turn(Reply("Thought: it follows.\nAction: 1", (1, 2), (-0.05, -2.5), Usage(9, 2)), "1", "Last: 1"),
        Turn(Reply(f"Thought: the needle is {index}.\nAction: 2", usage=Usage(12, 9)), "2", "", 1.0),
    )
    return trajectory(index, turns=steps, policy="tuned-model")


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Two runs of the same tasks; the base wins every third."""
    tasks = range(NUM_TASKS)
    base = a_run("base", [won(index) if index % 3 == 0 else lost(index) for index in tasks])
    return written(
        tmp_path_factory.mktemp("page") / "report.html", base, a_run("tuned", [won(i) for i in tasks])
    )


async def opened(page, path, fragment="", **look):
    page.problems.clear()
    page.requests.clear()
    await page.look(**look)
    await page.open(path, fragment)
    await page.until(
        "document.querySelector('#list [role=option]') && document.querySelector('#detail .turn')"
    )


async def status(page):
    return await page.evaluate("document.getElementById('status').textContent")


def test_the_page_works_from_its_file_and_asks_for_nothing(runner, page, compared):
    async def check():
        await opened(page, compared)
        assert await status(page) == "3,000 of 3,000 trajectories"
        assert page.requests == [] and page.problems == []
        assert await page.evaluate("document.querySelectorAll('[role=option]').length") < 60

    runner.run(check())


def test_a_task_that_only_the_tuned_model_won_is_shown_first_side_by_side(runner, page, compared):
    async def check():
        await opened(page, compared)
        shown = await page.evaluate(
            "[...document.querySelectorAll('.facts-of')].map((each) => each.innerText)"
        )
        assert [text.splitlines()[0].split()[0] for text in shown] == ["base", "tuned"]
        assert "lost" in shown[0] and "Refusal" in shown[0] and "won" in shown[1]
        cells = "[...document.querySelector('.columns-2 .turn').parentNode.children].map((e) => e.innerText)"
        first, second = await page.evaluate(cells)
        assert "no action in this reply" in first and "it follows" in second

    runner.run(check())


def test_what_a_model_wrote_never_runs(runner, page, tmp_path):
    turn = Turn(Reply(HOSTILE), HOSTILE, HOSTILE)
    huge = Turn(Reply(HUGE), None, "", 0.0)
    made = trajectory(
        prompt=(Message("user", HOSTILE), Message("user", "task is: " + HOSTILE)),
        turns=(turn, huge),
        policy=HOSTILE,
        error=HOSTILE,
        metrics={HOSTILE: 1.0},
    )
    path = written(
        tmp_path / "report.html", a_run(HOSTILE, [made]), a_run("<b>b</b>", [replace(made, reward=0.0)])
    )

    async def check():
        await opened(page, path)
        assert "taken" not in await page.evaluate("document.title")
        assert (
            await page.evaluate("document.querySelectorAll('img, iframe, object, embed, svg[onload]').length")
            == 0
        )
        assert await page.evaluate("document.querySelectorAll('script[type=module]').length") == 1
        reply = await page.evaluate("document.querySelector('.turn .reply').textContent")
        assert "</script><script>document.title" in reply and "\u202e" not in reply and "\u2400" in reply
        assert "\ufffdgnitirw" in reply
        assert await page.evaluate("document.body.innerText.includes('\\u202e')") is False
        huge = "[...document.querySelectorAll('.turn .reply')].at(-1)"
        assert await page.evaluate(f"{huge}.textContent.length") < 5000
        await page.evaluate(f"{huge}.querySelector('.more').click()")
        assert await page.evaluate(f"{huge}.textContent.length") == len(HUGE)
        assert await page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        assert page.problems == [] and page.requests == []

    runner.run(check())


def test_everything_can_be_done_from_the_keyboard(runner, page, compared):
    active = "document.activeElement.id"

    async def check():
        await opened(page, compared)
        await page.press("/")
        assert await page.evaluate(active) == "filter-query"
        await page.type("the needle is 1233")
        await page.until("document.getElementById('status').textContent === '2 of 3,000 trajectories'")
        await page.press("Enter")
        assert await page.evaluate(active) == "list"
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert await page.evaluate(outline) == "solid"
        selected = "document.querySelector('[aria-selected=true]')?.getAttribute('aria-posinset')"
        assert await page.evaluate(selected) == "1"
        await page.press("ArrowDown")
        assert await page.evaluate(selected) == "2"
        await page.press("ArrowDown")
        assert await page.evaluate(selected) == "2"
        await page.press("Enter")
        assert await page.evaluate(active) == "detail"
        await page.press("c")
        await page.until("document.querySelectorAll('.facts-of').length === 1")
        await page.press("c")
        await page.until("document.querySelectorAll('.facts-of').length === 2")
        await page.press("Escape")
        assert await page.evaluate(active) == "list"
        await page.press("Home")
        assert await page.evaluate(selected) == "1"

    runner.run(check())


def test_the_list_tells_assistive_technology_where_one_is(runner, page, compared):
    async def check():
        await opened(page, compared)
        await page.evaluate("document.getElementById('list').focus()")
        await page.press("End")
        named = (
            "document.getElementById(document.getElementById('list').getAttribute('aria-activedescendant'))"
        )
        assert await page.evaluate(f"{named}.getAttribute('aria-posinset')") == "3000"
        assert await page.evaluate(f"{named}.getAttribute('aria-setsize')") == "3000"
        tree = (await page.call("Accessibility.getFullAXTree"))["nodes"]
        names = {
            (node["role"]["value"], node.get("name", {}).get("value")) for node in tree if "role" in node
        }
        assert ("listbox", "Trajectories") in names
        for label in ("Run", "Environment", "Outcome", "Error", "Beside", "Colour"):
            assert ("combobox", label) in names
        assert ("searchbox", "Search") in names
        assert any(role == "option" and "From 0 to 2." in str(name) for role, name in names)

    runner.run(check())


def test_a_count_of_errors_leads_to_its_trajectories(runner, page, compared):
    async def check():
        await opened(page, compared)
        link = "document.querySelector('#errors a[href*=\"run=base\"][href*=refusal]')"
        assert await page.evaluate(f"{link}.textContent") == "1,000"
        await page.evaluate(f"{link}.click()")
        await page.until("document.getElementById('status').textContent.startsWith('1,000 of')")
        shown = "document.querySelector('#detail .kinds').innerText"
        await page.until("document.querySelector('#detail .kinds')")
        assert "Refusal" in await page.evaluate(shown)
        address = await page.evaluate("location.hash")
        await opened(page, compared, address)
        assert await status(page) == "1,000 of 3,000 trajectories"
        await page.evaluate("document.getElementById('filter-clear').click()")
        assert await status(page) == "3,000 of 3,000 trajectories"

    runner.run(check())


def test_an_address_that_names_nothing_shows_everything(runner, page, compared):
    async def check():
        await opened(page, compared, "#trajectories?env=nowhere&error=%3Cb%3E&open=99999999&beside=x")
        assert await status(page) == "3,000 of 3,000 trajectories"
        assert page.problems == []

    runner.run(check())


def choose(name, value):
    return (
        f"(() => {{ const field = document.getElementById('filter-{name}'); field.value = '{value}';"
        " field.dispatchEvent(new Event('input')); })()"
    )


def test_outcomes_can_be_told_by_what_the_base_did(runner, page, compared):
    async def check():
        await opened(page, compared)
        for chosen, count in (
            ("gained", 1000),
            ("regressed", 0),
            ("lost", 1000),
            ("won", 2000),
            ("truncated", 0),
        ):
            await page.evaluate(choose("outcome", chosen))
            assert await status(page) == f"{count:,} of 3,000 trajectories"
        await page.evaluate(choose("outcome", ""))
        await page.evaluate(choose("run", "base"))
        assert await status(page) == "1,500 of 3,000 trajectories"

    runner.run(check())


def test_tokens_are_coloured_by_their_probability(runner, page, tmp_path):
    class Bounds:
        def lengths(self, token_ids, text):
            return [8, len(text) - 8]

    run = a_run("tuned", [won(0)])
    path = tmp_path / "report.html"
    write_page(Report(), encode([run], [Bounds()]), path)

    async def check():
        await opened(page, path)
        await page.evaluate(
            "(() => { const select = [...document.querySelectorAll('#detail select')].at(-1);"
            " select.value = 'probability'; select.dispatchEvent(new Event('change')); })()"
        )
        await page.until("document.querySelector('.tokens')")
        assert await page.evaluate("document.getElementById('detail').dataset.colour") == "probability"
        shown = "[...document.querySelectorAll('.tokens .token')]"
        assert await page.evaluate(f"{shown}.map((e) => [e.textContent, e.className, e.title])") == [
            ["Thought:", "token surprise-0", "probability 95.1%"],
            [" it follows.\nAction: 1", "token surprise-3", "probability 8.2%"],
        ]

    runner.run(check())


def test_a_colour_that_a_trajectory_has_nothing_for_is_not_shown(runner, page, tmp_path):
    path = written(tmp_path / "report.html", a_run("rollout", [won(0), lost(1)]))

    async def check():
        await opened(page, path)
        await page.evaluate(
            "(() => { const select = [...document.querySelectorAll('#detail select')].at(-1);"
            " select.value = 'probability'; select.dispatchEvent(new Event('change')); })()"
        )
        await page.until("document.querySelector('.strip')")
        await page.evaluate("document.getElementById('list').focus()")
        await page.press("ArrowDown")
        await page.until("document.querySelector('#detail .kinds')")
        assert await page.evaluate("[...document.querySelectorAll('#detail select')].at(-1).value") == "loss"
        await page.press("ArrowUp")
        await page.until("document.querySelector('.strip')")

    runner.run(check())


def contrast(first, second):
    """Contrast ratio of two colours. Source: WCAG 2.2, relative luminance and contrast ratio."""

    def luminance(colour):
        channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    brighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_schemes_can_be_read(runner, page, compared, scheme):
    async def check():
        await opened(page, compared, scheme=scheme)
        paper = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (
            contrast(paper, "rgb(255, 255, 255)") < 1.2
            if scheme == "light"
            else contrast(paper, "rgb(0, 0, 0)") < 1.4
        )
        for part in ("h1", ".note", ".under", ".observation", "#detail b", ".outcome", ".found", ".speaker"):
            found = f"getComputedStyle(document.querySelector('{part}')).color"
            assert contrast(await page.evaluate(found), paper) >= 4.5, part

    runner.run(check())


@pytest.mark.parametrize("width", [1280, 800, 400])
def test_no_width_needs_scrolling_sideways(runner, page, compared, width):
    async def check():
        await opened(page, compared, width=width)
        assert await page.evaluate("document.scrollingElement.scrollWidth") <= width

    runner.run(check())


def test_a_single_run_has_a_browser_and_nothing_to_compare(runner, page, tmp_path):
    path = written(tmp_path / "report.html", a_run("rollout", [lost(0), won(1)]))

    async def check():
        await opened(page, path)
        assert await status(page) == "2 of 2 trajectories"
        outcomes = "[...document.getElementById('filter-outcome').options].map((each) => each.value)"
        assert await page.evaluate(outcomes) == ["", "won", "lost", "truncated", "unscored"]
        assert page.problems == []

    runner.run(check())
