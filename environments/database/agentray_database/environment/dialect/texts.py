"""MySQL's functions on text. Positions count characters from 1; searches ignore case."""

from __future__ import annotations

import hashlib
from decimal import Decimal

from agentray_database.environment.dialect.collation import change_case, compare, weights
from agentray_database.environment.dialect.faults import too_big
from agentray_database.environment.dialect.functions import VALUE_LIMIT, function, text_result, whole_result
from agentray_database.environment.dialect.values import decimal_text, round_to, to_decimal


@function("upper ucase", "s")
def _upper(text: str) -> str:
    return change_case(text, True)


@function("lower lcase", "s")
def _lower(text: str) -> str:
    return change_case(text, False)


@function("concat", "s*")
def _concat(*parts: str) -> str:
    return "".join(parts)


@function("concat_ws", "ss*", nulls=True)
def _concat_ws(separator: str | None, *parts: str | None) -> str | None:
    return None if separator is None else separator.join(part for part in parts if part is not None)


@function("length octet_length", "s", whole_result)
def _length(text: str) -> int:
    return len(text.encode(errors="replace"))


@function("char_length character_length", "s", whole_result)
def _char_length(text: str) -> int:
    return len(text)


@function("left", "si")
def _left(text: str, count: int) -> str:
    return text[: max(count, 0)]


@function("right", "si")
def _right(text: str, count: int) -> str:
    return text[-count:] if count > 0 else ""


@function("substring substr mid", "si?i")
def _substring(text: str, start: int, length: int | None = None) -> str:
    begin = start - 1 if start > 0 else len(text) + start
    if start == 0 or begin < 0 or (length is not None and length <= 0):
        return ""
    return text[begin:] if length is None else text[begin : begin + length]


@function("substring_index", "ssi")
def _substring_index(text: str, separator: str, count: int) -> str:
    if not separator or not count:
        return ""
    parts = text.split(separator)
    return separator.join(parts[:count] if count > 0 else parts[count:])


def _stripped(text: str, remove: str, front: bool, back: bool) -> str:
    while front and remove and text.startswith(remove):
        text = text[len(remove) :]
    while back and remove and text.endswith(remove):
        text = text[: -len(remove)]
    return text


@function("trim_both", "ss")
def _trim_both(text: str, remove: str) -> str:
    return _stripped(text, remove, True, True)


@function("trim_leading", "ss")
def _trim_leading(text: str, remove: str) -> str:
    return _stripped(text, remove, True, False)


@function("trim_trailing", "ss")
def _trim_trailing(text: str, remove: str) -> str:
    return _stripped(text, remove, False, True)


@function("ltrim", "s")
def _ltrim(text: str) -> str:
    return text.lstrip(" ")


@function("rtrim", "s")
def _rtrim(text: str) -> str:
    return text.rstrip(" ")


@function("replace", "sss")
def _replace(text: str, old: str, new: str) -> str:
    if not old:
        return text
    if len(text) + text.count(old) * max(0, len(new) - len(old)) > VALUE_LIMIT:
        raise too_big()
    return text.replace(old, new)


def located(part: str, text: str, start: int = 1) -> int:
    """Where a text holds a part, from 1; 0 when it does not.

    MariaDB compares as many bytes as `part` has: `o` is found in `OLE`, not in `\u00d4LE`.
    """
    if start < 1 or start > len(text) + 1:
        return 0
    sought, heavy, size = weights(part), weights(text), len(part.encode(errors="replace"))
    place = heavy.find(sought, start - 1)
    while place >= 0 and len(text[place : place + len(part)].encode(errors="replace")) != size:
        place = heavy.find(sought, place + 1)
    return place + 1


@function("locate", "ss?i", whole_result)
def _locate(part: str, text: str, start: int = 1) -> int:
    return located(part, text, start)


@function("instr", "ss", whole_result)
def _instr(text: str, part: str) -> int:
    return located(part, text)


def _padding(text: str, length: int, fill: str) -> str | None:
    if length < 0 or (length > len(text) and not fill):
        return None
    if length > VALUE_LIMIT:
        raise too_big()
    missing = max(0, length - len(text))
    return (fill * -(-missing // len(fill)))[:missing] if missing else ""


@function("lpad", "si?s")
def _lpad(text: str, length: int, fill: str = " ") -> str | None:
    padding = _padding(text, length, fill)
    return None if padding is None else padding + text[:length]


@function("rpad", "si?s")
def _rpad(text: str, length: int, fill: str = " ") -> str | None:
    padding = _padding(text, length, fill)
    return None if padding is None else text[:length] + padding


def repeated(text: str, count: int) -> str:
    """A text so many times."""
    if len(text) * count > VALUE_LIMIT:
        raise too_big()
    return text * max(count, 0)


@function("repeat", "si")
def _repeat(text: str, count: int) -> str:
    return repeated(text, count)


@function("space", "i")
def _space(count: int) -> str:
    return repeated(" ", count)


@function("reverse", "s")
def _reverse(text: str) -> str:
    return text[::-1]


@function("insert", "siis")
def _insert(text: str, start: int, length: int, new: str) -> str:
    if not 1 <= start <= len(text):
        return text
    rest = "" if length < 0 or start - 1 + length > len(text) else text[start - 1 + length :]
    return text[: start - 1] + new + rest


@function("ascii", "s", whole_result)
def _ascii(text: str) -> int:
    return text.encode(errors="replace")[0] if text else 0


@function("ord", "s", whole_result)
def _ord(text: str) -> int:
    return int.from_bytes(text[:1].encode(errors="replace"), "big")


@function("hex", "s")
def _hex(text: str) -> str:
    return text.encode(errors="replace").hex().upper()


@function("md5", "s")
def _md5(text: str) -> str:
    return hashlib.md5(text.encode(errors="replace"), usedforsecurity=False).hexdigest()


@function("sha sha1", "s")
def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode(errors="replace"), usedforsecurity=False).hexdigest()


@function("strcmp", "ss", whole_result)
def _strcmp(left: str, right: str) -> int:
    return compare(left, right)


@function("find_in_set", "ss", whole_result)
def _find_in_set(text: str, items: str) -> int:
    listed = items.split(",") if items else []
    return next((index for index, item in enumerate(listed, 1) if weights(text) == weights(item)), 0)


@function("elt", "is*", text_result, nulls=True)
def _elt(index: int | None, *texts: str | None) -> str | None:
    return texts[index - 1] if index is not None and 1 <= index <= len(texts) else None


@function("format", "si")
def _format(number: str, digits: int) -> str:
    value = round_to(to_decimal(number, strict=False), min(max(digits, 0), 38))
    text = decimal_text(value)
    sign, text = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, point, rest = text.partition(".")
    return f"{sign}{int(Decimal(whole)):,}{point}{rest}"


@function("quote", "s", nulls=True)
def _quote(text: str | None) -> str:
    if text is None:
        return "NULL"
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\0", "\\0").replace("\x1a", "\\Z")
    return f"'{escaped}'"
