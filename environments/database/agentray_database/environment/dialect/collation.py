"""How MySQL compares text: the collation `utf8mb4_general_ci`, its binary sister, and LIKE.

Each character has one weight: its upper case without accents, as Unicode 3.2 knew them, and every character
beyond the basic plane weighs the same. Trailing spaces do not count. `_weight` gives the weight that MariaDB
10.11's `WEIGHT_STRING` gives for each of the 63,486 characters of the basic plane.
"""

from __future__ import annotations

from functools import lru_cache
from unicodedata import ucd_3_2_0 as unicode_3

_PAGES = frozenset({0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x1E, 0x1F, 0x21, 0x24, 0xFF})
"""High bytes of the characters that have another weight than themselves."""
_OWN_WEIGHT = frozenset(
    "\u019e\u0340\u0341\u0343\u0344\u0374\u037e\u0385\u0387\u03d9\u03f5\u0419\u048b\u04c6\u04ca\u04ce"
    "\u0501\u0503\u0505\u0507\u0509\u050b\u050d\u050f\u1fbb\u1fc1\u1fc9\u1fcb\u1fcd\u1fce\u1fcf\u1fd3"
    "\u1fdb\u1fdd\u1fde\u1fdf\u1fe3\u1feb\u1fed\u1fee\u1fef\u1ff9\u1ffb\u1ffd\u2126\u212a\u212b\u219a"
    "\u219b\u21ae\u21cd\u21ce\u21cf"
)
_OTHER_WEIGHT = str.maketrans(
    "\u00df\u03f2\u0439\u1f71\u1f73\u1f75\u1f77\u1f79\u1f7b\u1f7d",
    "\u0053\u03a3\u0419\u1fbb\u1fc9\u1fcb\u1fdb\u1ff9\u1feb\u1ffb",
)


@lru_cache(maxsize=4096)
def _weight(character: str) -> str:
    code = ord(character)
    if code > 0xFFFF:
        return "\ufffd"
    if code in _OTHER_WEIGHT:
        return character.translate(_OTHER_WEIGHT)
    if code >> 8 not in _PAGES or character in _OWN_WEIGHT:
        return character
    decomposition = unicode_3.decomposition(character)
    base = character
    if decomposition and "<" not in decomposition:
        base = unicode_3.normalize("NFD", character)[0]
    upper = base.upper()
    known = len(upper) == 1 and "Cn" not in (unicode_3.category(upper), unicode_3.category(character))
    return upper if known else base


_OWN_CASE = frozenset(
    "\u019e\u0220\u03d8\u03d9\u03f4\u03f5\u048a\u048b\u04c5\u04c6\u04c9\u04ca\u04cd\u04ce\u0500\u0501"
    "\u0502\u0503\u0504\u0505\u0506\u0507\u0508\u0509\u050a\u050b\u050c\u050d\u050e\u050f"
)
"""Letters that Unicode 3.2 pairs and MariaDB does not."""


@lru_cache(maxsize=4096)
def _cased(character: str, upper: bool) -> str:
    if ord(character) > 0xFFFF or ord(character) >> 8 not in _PAGES or character in _OWN_CASE:
        return character
    if character in "\u0130\u03f2":
        return {"\u0130": "\u0130" if upper else "i", "\u03f2": "\u03a3" if upper else "\u03f2"}[character]
    changed = character.upper() if upper else character.lower()
    changed = character.title() if upper and len(changed) > 1 else changed
    known = len(changed) == 1 and "Cn" not in (unicode_3.category(changed), unicode_3.category(character))
    return changed if known else character


def change_case(text: str, upper: bool) -> str:
    """UPPER or LOWER: one character for one, as MariaDB 10.11 maps each of the basic plane."""
    return "".join(_cased(character, upper) for character in text)


@lru_cache(maxsize=4096)
def weights(text: str) -> str:
    """The weights of a text's characters: the same for texts that compare equal, but for trailing spaces."""
    return "".join(map(_weight, text))


def compare(left: str, right: str) -> int:
    """-1, 0 or 1 as `utf8mb4_general_ci` orders two texts."""
    return compare_binary(weights(left), weights(right))


def compare_binary(left: str, right: str) -> int:
    """-1, 0 or 1 as `utf8mb4_bin` orders two texts: by code point, the shorter padded with spaces."""
    width = max(len(left), len(right))
    left, right = left.ljust(width), right.ljust(width)
    return (left > right) - (left < right)


def like(text: str, pattern: str, escape: str, binary: bool) -> bool:
    """Whether a text matches a LIKE pattern; work is at most the product of their lengths."""
    parts = _parts(pattern, escape)
    if not binary:
        text, parts = weights(text), [part[:1] + weights(part[1:]) for part in parts]
    at, star, resume, index = 0, -1, 0, 0
    while at < len(text):
        part = parts[index] if index < len(parts) else None
        if part == "%":
            star, resume = index, at
            index += 1
        elif part == "_" or (part is not None and len(part) == 2 and part[1] == text[at]):
            at, index = at + 1, index + 1
        elif star >= 0:
            resume += 1
            at, index = resume, star + 1
        else:
            return False
    return all(part == "%" for part in parts[index:])


def _parts(pattern: str, escape: str) -> list[str]:
    """`%`, `_`, or `=c` for the character c itself."""
    parts: list[str] = []
    index = 0
    while index < len(pattern):
        character = pattern[index]
        if escape and character == escape and index + 1 < len(pattern):
            index += 1
            parts.append("=" + pattern[index])
        else:
            parts.append(character if character in "%_" else "=" + character)
        index += 1
    return parts
