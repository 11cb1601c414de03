"""Text and numbers as they appear on the page: harmless, and short enough to read."""

from __future__ import annotations

import math

from markupsafe import Markup

_CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {0x7F: 0x2421}
"""C0 controls become their visible pictures, e.g. NUL the sign ␀; HTML allows none of them."""
_OVERRIDES = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD)
"""Marks that reorder the text around them, so that it reads as something else; they become the sign �."""


def visible(value: object) -> object:
    """Text that HTML allows and that can be encoded as UTF-8; templates escape it after that."""
    if isinstance(value, Markup):
        return value
    encodable = str(value).encode("utf-8", "replace").decode("utf-8")
    return encodable.replace("\r\n", "\n").translate(_CONTROLS | _OVERRIDES)


def number(value: object) -> float | None:
    """The value as a finite float; None when it is anything else, so that unknown stays unknown."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def percent(share: float) -> str:
    """A share of one, e.g. `82%`; a decimal where rounding would claim none or all."""
    rounded = f"{100 * share:.0f}%"
    return f"{100 * share:.1f}%" if rounded in ("0%", "100%", "-0%") and share not in (0, 1) else rounded


def thousands(value: float) -> str:
    """A number with thousands separators, and at most three decimals when it is not whole."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"


def cell(value: object) -> str:
    """A number, or text, in a table; nothing where it is not known."""
    known = number(value)
    return thousands(known) if known is not None else "" if value is None else str(value)


def setting(name: str) -> str:
    """Name of a setting that a sweep varies."""
    return "η" if name == "train.eta" else name


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
    return "< 0.001" if value < 0.001 else f"{value:.2g}" if value < 0.995 else "1"


def words(items: list[str]) -> str:
    """A list as in prose: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
