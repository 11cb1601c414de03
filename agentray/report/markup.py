"""Text and numbers as they appear on the page: escaped, and short enough to read.

Everything a model or an environment wrote passes through `clean` before it meets a tag.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

_CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {0x7F: 0x2421}
"""C0 controls become their visible pictures, e.g. NUL the sign ␀; HTML allows none of them."""
_OVERRIDES = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD)
"""Marks that reorder the text around them, so that it reads as something else; they become the sign �."""


def clean(text: object) -> str:
    """Text that is inert in element content and in quoted attributes, and can be encoded as UTF-8."""
    encodable = str(text).encode("utf-8", "replace").decode("utf-8")
    return html.escape(encodable.replace("\r\n", "\n").translate(_CONTROLS | _OVERRIDES), quote=True)


def number(value: object) -> float | None:
    """The value as a finite float; None when it is anything else, so that unknown stays unknown."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def mapping(value: object) -> Mapping[str, Any]:
    """The value when it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: object) -> Sequence[Any]:
    """The value when it is a list, else an empty one."""
    return value if isinstance(value, list | tuple) else ()


def percent(share: float) -> str:
    """A share of one, e.g. `82%`; a decimal where rounding would claim none or all."""
    rounded = f"{100 * share:.0f}%"
    return f"{100 * share:.1f}%" if rounded in ("0%", "100%", "-0%") and share not in (0, 1) else rounded


def count(value: float) -> str:
    """A number with thousands separators, and at most three decimals when it is not whole."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """A time in its two largest units, e.g. `12 min 4 s`."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def size(num_bytes: float) -> str:
    """Bytes in binary units, e.g. `3.4 GiB`."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if num_bytes < 1024:
            return f"{num_bytes:.0f} {unit}" if num_bytes >= 100 else f"{num_bytes:.3g} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:.3g} TiB"


def p_value(value: float) -> str:
    """A p-value to the digits that matter."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}" if value < 0.995 else "p = 1"


def note(text: str) -> str:
    """A remark below a chart or table."""
    return f'<p class="note">{clean(text)}</p>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "figures") -> str:
    """A table whose first column names its rows; empty without rows.

    Args:
        head: Column names, plain text; none leaves the heading out.
        rows: Cells, which are HTML already.
        kind: Class of the table: `figures` aligns all but the first column to the right.
    """
    if not rows:
        return ""
    names = "".join(f'<th scope="col">{clean(name)}</th>' for name in head)
    lines = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    heading = f"<thead><tr>{names}</tr></thead>" if head else ""
    return f'<div class="wide"><table class="{kind}">{heading}<tbody>{lines}</tbody></table></div>'


def fold(title: str, body: str) -> str:
    """A part that opens on demand; `body` is HTML."""
    return f'<details class="fold"><summary>{clean(title)}</summary>{body}</details>'


def words(items: list[str]) -> str:
    """A list as in prose: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
