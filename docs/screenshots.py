"""Takes the pictures of docs/report.md: `python docs/screenshots.py` (needs chromium and Pillow).

The runs are those of benchmarks/report.py, 600 trajectories, so the pictures show no measured model.
"""

from __future__ import annotations

import asyncio
import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]
from chromium import Page, browser, find_chromium  # noqa: E402
from report import make_runs, write  # noqa: E402

_COLOURS = 96
_SHOW_TOKENS = (
    "(() => { const select = [...document.querySelectorAll('#detail select')].at(-1);"
    " select.value = 'probability'; select.dispatchEvent(new Event('change')); })()"
)


async def take(page: Page, report: Path, name: str, fragment: str, scheme: str, prepare: str = "") -> None:
    """One picture, reduced to a palette."""
    await page.look(1280, 860, scheme)
    await page.open(report, fragment)
    await page.until("document.querySelector('#detail .turn')")
    if prepare:
        await page.evaluate(prepare)
    await page.until("new Promise((done) => setTimeout(() => done(true), 300))")
    picture = Image.open(io.BytesIO(await page.picture())).convert("RGB")
    path = ROOT / "docs" / f"report-{name}.png"
    picture.quantize(_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB", file=sys.stderr)


async def main(report: Path) -> None:
    """All pictures."""
    program = find_chromium()
    if program is None:
        raise SystemExit("chromium is not installed: apt-get install chromium")
    async with browser(program) as page:
        await take(page, report, "scores", "#scores", "light")
        await take(page, report, "errors", "#errors", "light")
        await take(page, report, "browser", "#trajectories", "light")
        await take(page, report, "tokens", "#trajectories", "dark", _SHOW_TOKENS)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        write(make_runs(Path(temporary), 600), Path(temporary) / "report")
        asyncio.run(main(Path(temporary) / "report" / "report.html"))
