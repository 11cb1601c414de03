"""MySQL's dates and times. A text that MySQL might read in a way of its own is an error, never a guess."""

from __future__ import annotations

import calendar
import datetime
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import regex  # type: ignore[import-untyped]

from agentray_database.environment.dialect.faults import fault, unsupported
from agentray_database.environment.dialect.functions import (
    date_result,
    function,
    helper,
    read_moment,
    text_result,
    whole_result,
)
from agentray_database.environment.dialect.typed import Kind, Typed
from agentray_database.environment.dialect.values import double_text, round_to

_MOMENT = re.compile(
    r"\s*(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?:[ T](\d{1,2}):(\d{1,2})(?::(\d{1,2}))?)?\s*", re.ASCII
)
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:(\d{2})(\d{2})(\d{2}))?", re.ASCII)
Moment = datetime.date
_DAYS = {"DAY": 1, "WEEK": 7}
_SECONDS = {"HOUR": 3600, "MINUTE": 60, "SECOND": 1}
_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
UNITS = frozenset({*_DAYS, *_SECONDS, *_MONTHS})
"""The units of INTERVAL, EXTRACT and TIMESTAMPDIFF that are supported."""


def _incorrect(text: str) -> Exception:
    return fault(1292, "22007", f"Incorrect datetime value: '{text}'")


def parse_moment(text: str, strict: bool) -> Moment | None:
    """A date, or a date with a time; None for a text that does not begin as one.

    Raises:
        StatementError: The text is not a date and MySQL is strict; or it is one only by MySQL's own rules,
            such as a year of two digits, a month 0 or something after the date.
    """
    match = _MOMENT.fullmatch(text) or _COMPACT.fullmatch(text)
    if match is None:
        if strict or re.match(r"\s*\d+[^\w\s]?\d|\s*\d{3,}", text):
            raise _incorrect(text)
        return None
    numbers = [int(part) for part in match.groups() if part is not None and part.isdigit()]
    try:
        day = datetime.date(*numbers[:3])
        if not numbers[3:]:
            return day
        hour, minute, second = [*numbers[3:], 0][:3]
        return datetime.datetime.combine(day, datetime.time(hour, minute, second))
    except ValueError as error:
        if strict or 0 in numbers[:3]:
            raise _incorrect(text) from error
        return None


@helper
def moment(text: str | None, strict: int) -> Moment | None:
    """Text as a moment."""
    return None if text is None else parse_moment(text, bool(strict))


@helper
def midnight(text: str | None) -> str | None:
    """A moment with its time, 00:00:00 for a date."""
    return None if text is None else text if len(text) > 10 else f"{text} 00:00:00"


@helper
def digits(text: str | None) -> int | None:
    """A moment as the number of its digits, e.g. 20010506."""
    return None if text is None else int(re.sub(r"\D", "", text))


def _date(value: Moment) -> datetime.date:
    return value.date() if isinstance(value, datetime.datetime) else value


def _clock(value: Moment) -> datetime.datetime:
    return (
        value
        if isinstance(value, datetime.datetime)
        else datetime.datetime(value.year, value.month, value.day)
    )


@function("year", "t", whole_result)
def _year(value: Moment) -> int:
    return value.year


@function("month", "t", whole_result)
def _month(value: Moment) -> int:
    return value.month


@function("day dayofmonth", "t", whole_result)
def _day(value: Moment) -> int:
    return value.day


@function("quarter", "t", whole_result)
def _quarter(value: Moment) -> int:
    return (value.month + 2) // 3


@function("dayofyear", "t", whole_result)
def _dayofyear(value: Moment) -> int:
    return value.timetuple().tm_yday


@function("dayofweek", "t", whole_result)
def _dayofweek(value: Moment) -> int:
    return value.isoweekday() % 7 + 1


@function("weekday", "t", whole_result)
def _weekday(value: Moment) -> int:
    return value.weekday()


@function("week", "t", whole_result)
def _week(value: Moment) -> int:
    return int(_date(value).strftime("%U"))


@function("dayname", "t", text_result)
def _dayname(value: Moment) -> str:
    return calendar.day_name[value.weekday()]


@function("monthname", "t", text_result)
def _monthname(value: Moment) -> str:
    return calendar.month_name[value.month]


@function("date", "t", date_result)
def _only_date(value: Moment) -> datetime.date:
    return _date(value)


@function("last_day", "t", date_result)
def _last_day(value: Moment) -> datetime.date:
    return datetime.date(value.year, value.month, calendar.monthrange(value.year, value.month)[1])


@function("to_days", "t", whole_result)
def _to_days(value: Moment) -> int:
    return _date(value).toordinal() + 365


@function("from_days", "i", date_result)
def _from_days(days: int) -> datetime.date:
    try:
        return datetime.date.fromordinal(days - 365)
    except (ValueError, OverflowError) as error:
        raise _incorrect(str(days)) from error


@function("datediff", "tt", whole_result)
def _datediff(left: Moment, right: Moment) -> int:
    return (_date(left) - _date(right)).days


@function("makedate", "ii", date_result)
def _makedate(year: int, day: int) -> datetime.date | None:
    if not 1000 <= year <= 9999:
        raise unsupported("MAKEDATE of this year")
    if day < 1:
        return None
    try:
        return datetime.date(year, 1, 1) + datetime.timedelta(days=day - 1)
    except OverflowError:
        return None


def _timed(letter: str) -> Callable[[Any], int]:
    def part(value: Any) -> int:
        if not isinstance(value, datetime.datetime):
            raise unsupported("the time of a date without one")
        return int(getattr(value, letter))

    return part


for _unit in ("hour", "minute", "second"):
    function(_unit, "t", whole_result)(_timed(_unit))


@helper
def shifted(text: str | None, count: int | None, unit: str, computed: int) -> Moment | None:
    """A moment some units later; NULL beyond the year 9999.

    Raises:
        StatementError: The moment is a column's text with a time, which MariaDB and MySQL write differently.
    """
    if text is None or count is None:
        return None
    value = read_moment(text)
    if computed and (isinstance(value, datetime.datetime) or unit in _SECONDS):
        raise unsupported("arithmetic with a time that is text; use CAST(... AS DATETIME)")
    try:
        if unit in _MONTHS:
            return _months_later(value, count * _MONTHS[unit])
        if unit in _DAYS:
            return value + datetime.timedelta(days=count * _DAYS[unit])
        return _clock(value) + datetime.timedelta(seconds=count * _SECONDS[unit])
    except (OverflowError, ValueError):
        return None


def _months_later(value: Moment, months: int) -> Moment:
    year, month = divmod(value.year * 12 + value.month - 1 + months, 12)
    return value.replace(
        year=year, month=month + 1, day=min(value.day, calendar.monthrange(year, month + 1)[1])
    )


@helper
def difference(unit: str, start: str | None, end: str | None) -> int | None:
    """TIMESTAMPDIFF: the whole units from one moment to another."""
    if start is None or end is None:
        return None
    first, last = _clock(read_moment(start)), _clock(read_moment(end))
    sign = 1 if first <= last else -1
    first, last = min(first, last), max(first, last)
    if unit in _MONTHS:
        months = (last.year - first.year) * 12 + last.month - first.month
        months -= (last.day, last.time()) < (first.day, first.time())
        return sign * (months // _MONTHS[unit])
    seconds = (last - first) // datetime.timedelta(seconds=1)
    return sign * (seconds // (_DAYS[unit] * 86400 if unit in _DAYS else _SECONDS[unit]))


_PARTS: dict[str, Callable[[datetime.datetime], str]] = {
    "Y": lambda m: f"{m.year:04}", "y": lambda m: f"{m.year % 100:02}", "m": lambda m: f"{m.month:02}",
    "c": lambda m: str(m.month), "M": lambda m: calendar.month_name[m.month],
    "b": lambda m: calendar.month_abbr[m.month], "d": lambda m: f"{m.day:02}", "e": lambda m: str(m.day),
    "D": lambda m: f"{m.day}{_suffix(m.day)}", "W": lambda m: calendar.day_name[m.weekday()],
    "a": lambda m: calendar.day_abbr[m.weekday()], "w": lambda m: str(m.isoweekday() % 7),
    "j": lambda m: f"{m.timetuple().tm_yday:03}", "U": lambda m: m.strftime("%U"),
    "H": lambda m: f"{m.hour:02}", "k": lambda m: str(m.hour), "h": lambda m: f"{(m.hour + 11) % 12 + 1:02}",
    "I": lambda m: f"{(m.hour + 11) % 12 + 1:02}", "l": lambda m: str((m.hour + 11) % 12 + 1),
    "i": lambda m: f"{m.minute:02}", "s": lambda m: f"{m.second:02}", "S": lambda m: f"{m.second:02}",
    "p": lambda m: "AM" if m.hour < 12 else "PM", "f": lambda m: "000000",
    "T": lambda m: f"{m.hour:02}:{m.minute:02}:{m.second:02}",
    "r": lambda m: f"{(m.hour + 11) % 12 + 1:02}:{m.minute:02}:{m.second:02} {'AM' if m.hour < 12 else 'PM'}",
}  # fmt: skip


def _suffix(day: int) -> str:
    return "th" if 11 <= day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


@function("date_format", "ts", text_result)
def _date_format(value: Moment, pattern: str) -> str:
    clock = _clock(value)
    if set(re.findall(r"%(.)", pattern.replace("%%", ""))) & set("XxVvu"):
        raise unsupported("this format in DATE_FORMAT")
    return re.sub(
        r"%(.)", lambda m: _PARTS[m[1]](clock) if m[1] in _PARTS else m[1], pattern, flags=re.DOTALL
    )


_READS = {
    "Y": r"(?P<Y>\d{1,4})", "m": r"(?P<m>\d{1,2})", "c": r"(?P<m>\d{1,2})", "d": r"(?P<d>\d{1,2})",
    "e": r"(?P<d>\d{1,2})", "H": r"(?P<H>\d{1,2})", "k": r"(?P<H>\d{1,2})", "i": r"(?P<i>\d{1,2})",
    "s": r"(?P<s>\d{1,2})", "S": r"(?P<s>\d{1,2})", "y": r"(?P<y>\d{2})",
    "D": r"(?P<d>\d{1,2})(?:st|nd|rd|th)",
    "M": f"(?P<M>{'|'.join(calendar.month_name[1:])})", "b": f"(?P<M>{'|'.join(calendar.month_abbr[1:])})",
    "W": f"(?:{'|'.join(calendar.day_name)})", "a": f"(?:{'|'.join(calendar.day_abbr)})",
    "h": r"(?P<I>\d{1,2})", "I": r"(?P<I>\d{1,2})", "l": r"(?P<I>\d{1,2})", "p": "(?P<p>AM|PM)",
}  # fmt: skip
_CLOCK_LETTERS = frozenset("HkhIlisSpTrf")


def str_to_date_kind(pattern: str) -> Kind:
    """What STR_TO_DATE returns for a format: a date, or a date with a time.

    Raises:
        StatementError: The format gives no full date, or has letters that are not supported.
    """
    letters = set(re.findall(r"%(.)", pattern))
    if (
        letters - set(_READS) - {"T"}
        or not letters & set("Yy")
        or not letters & set("mcMb")
        or not letters & set("deD")
    ):
        raise unsupported(f"the format '{pattern}' in STR_TO_DATE")
    return "datetime" if letters & _CLOCK_LETTERS else "date"


def str_to_date_result(arguments: list[Typed]) -> tuple[Kind, int | None]:
    """The kind that a literal format says."""
    pattern = arguments[1].constant
    if pattern is None or arguments[1].kind != "str":
        raise unsupported("a computed format in STR_TO_DATE")
    return str_to_date_kind(pattern), None


def _no_date(text: str) -> Exception:
    return fault(1411, "HY000", f"Incorrect datetime value: '{text}' for function str_to_date")


@function("str_to_date", "ssi", str_to_date_result)
def _str_to_date(text: str, pattern: str, strict: int) -> Moment | None:
    """A date by a format; NULL for a text of another format.

    Raises:
        StatementError: MySQL would read a part of a date, or the text goes on behind it; or MySQL is strict.
    """
    match = regex.match(_reader(pattern), text, regex.IGNORECASE | regex.ASCII, partial=True)
    if match is None and not strict and not re.match(r"\s*[+-]\d", text):
        return None
    if match is None or match.partial or match.end() < len(text.rstrip()):
        raise _no_date(text)
    found = match.groupdict()
    month = (
        found["m"]
        if found.get("m")
        else 1 + [m.lower() for m in calendar.month_abbr[1:]].index(found["M"][:3].lower())
    )
    year = int(found["Y"]) if found.get("Y") else int(found["y"]) + (2000 if int(found["y"]) < 70 else 1900)
    if not int(month) or not int(found["d"]) or not year or len(found.get("Y") or "1970") < 4:
        raise _no_date(text)
    try:
        day = datetime.date(year, int(month), int(found["d"]))
        if str_to_date_kind(pattern) == "date":
            return day
        return datetime.datetime.combine(day, _time(found))
    except ValueError as error:
        if strict or (int(month) <= 12 and int(found["d"]) <= 31):
            raise _no_date(text) from error
        return None


def _time(found: dict[str, str | None]) -> datetime.time:
    hour = int(found.get("H") or 0)
    if found.get("I") is not None:
        hour = int(found["I"] or 0)
        if not 1 <= hour <= 12:
            raise ValueError("an hour of a clock with two halves")
        hour = hour % 12 + (12 if (found.get("p") or "").upper() == "PM" else 0)
    return datetime.time(hour, int(found.get("i") or 0), int(found.get("s") or 0))


def _reader(pattern: str) -> str:
    """A STR_TO_DATE format as a regular expression; a space stands for any number of them."""
    out = ""
    for part in re.findall(r"%.|\s+|.", pattern.replace("%T", "%H:%i:%s"), re.DOTALL):
        reader = _READS[part[1]] if part[0] == "%" else r"\s*" if part.isspace() else re.escape(part)
        out += (r"\s*" if part[0] == "%" else "") + reader
    return out


@helper
def now(kind: str) -> str:
    """The present date, or the present date and time."""
    value = datetime.datetime.now()
    return value.date().isoformat() if kind == "date" else value.isoformat(" ", "seconds")


def printed(kind: Kind, value: Any, scale: int | None) -> Any:
    """A value of a result as MySQL's client for Python gives it."""
    if value is None:
        return None
    if kind == "dbl" and scale is not None:
        return float(double_text(value, scale))
    if kind == "dec":
        return int(value) if scale is None else round_to(Decimal(value), scale)
    if kind in ("date", "datetime"):
        return read_moment(value)
    return value
