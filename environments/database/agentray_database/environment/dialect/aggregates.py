"""MySQL's aggregates as classes that SQLite steps, over groups and over windows."""

from __future__ import annotations

import math
from decimal import Decimal
from functools import cmp_to_key
from typing import Any, ClassVar

from agentray_database.environment.dialect import collation
from agentray_database.environment.dialect.faults import fault, too_big, unsupported
from agentray_database.environment.dialect.functions import VALUE_LIMIT, encode
from agentray_database.environment.dialect.values import divide


class Aggregate:
    """Keeps the values of a group or of a window's frame, NULL excluded."""

    width: ClassVar[int] = 1
    """Arguments; -1 for any number."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def step(self, *values: Any) -> None:
        """Take a row in."""
        if values[0] is not None:
            self.values.append(values[0])

    def inverse(self, *values: Any) -> None:
        """Let the oldest row of a window's frame go."""
        if values[0] is not None:
            self.values.pop(0)

    def value(self) -> Any:
        """The result so far."""
        return encode(self.result()) if self.values else None

    def finalize(self) -> Any:
        """The result."""
        return self.value()

    def result(self) -> Any:
        """The result over at least one value."""
        raise NotImplementedError


class SumDecimal(Aggregate):
    """SUM of whole numbers and decimals: exact."""

    def result(self) -> Decimal:
        """The sum."""
        return sum((Decimal(value) for value in self.values), Decimal(0))


class AverageDecimal(Aggregate):
    """AVG of whole numbers and decimals."""

    def result(self) -> Decimal:
        """The mean, with MySQL's digits."""
        return divide(sum((Decimal(value) for value in self.values), Decimal(0)), Decimal(len(self.values)))


class SumDouble(Aggregate):
    """SUM of doubles and text, in the order of the rows."""

    def result(self) -> float:
        """The sum."""
        total = 0.0
        for value in self.values:
            total += value
        return total


class AverageDouble(SumDouble):
    """AVG of doubles and text."""

    def result(self) -> float:
        """The mean."""
        return super().result() / len(self.values)


class SumSet(SumDouble):
    """SUM(DISTINCT ...) of doubles, where their order does not matter."""

    def result(self) -> float:
        """The sum.

        Raises:
            StatementError: Another order gives another sum.
        """
        if any(abs(value) > 2.0**40 or not (value * 4096).is_integer() for value in self.values):
            raise unsupported("a sum of distinct fractions, which depends on their order")
        return super().result()


class AverageSet(SumSet):
    """AVG(DISTINCT ...) of doubles."""

    def result(self) -> float:
        """The mean."""
        return super().result() / len(self.values)


class Variance(Aggregate):
    """VARIANCE by MariaDB's recurrence, so that the last digits agree."""

    sample: ClassVar[bool] = False
    root: ClassVar[bool] = False

    def result(self) -> float | None:
        """The variance or its square root; None for a sample of one."""
        mean = total = 0.0
        for count, value in enumerate(self.values, 1):
            before = mean
            mean = before + (value - before) / count
            total += (value - before) * (value - mean)
        count = len(self.values) - self.sample
        if not count:
            return None
        return math.sqrt(total / count) if self.root else total / count


class VarianceSample(Variance):
    """VAR_SAMP."""

    sample = True


class Deviation(Variance):
    """STDDEV."""

    root = True


class DeviationSample(Variance):
    """STDDEV_SAMP."""

    sample, root = True, True


def _raw(left: Any, right: Any) -> int:
    return int(left > right) - int(left < right)


def _decimal(left: str, right: str) -> int:
    return _raw(Decimal(left), Decimal(right))


ORDERS = {"text": collation.compare, "binary": collation.compare_binary, "decimal": _decimal, "raw": _raw}
"""How values of a kind are ordered."""
_COMPARE = {**ORDERS, "tied": ORDERS["text"]}
"""Within a group the first of texts that compare equal is not known."""


def _extreme(order: str, sign: int) -> type[Aggregate]:
    class Extreme(Aggregate):
        """MIN or MAX: the first of the values that no other passes."""

        def result(self) -> Any:
            """The extreme."""
            best = self.values[0]
            for value in self.values:
                if _COMPARE[order](value, best) * sign > 0:
                    best = value
            if order == "tied" and any(
                value != best and not ORDERS["text"](value, best) for value in self.values
            ):
                raise unsupported("MIN or MAX in a group of texts that compare equal")
            return best

    return Extreme


class CountDistinct:
    """COUNT(DISTINCT a, b, ...) of keys; a row with a NULL does not count."""

    width: ClassVar[int] = -1

    def __init__(self) -> None:
        self._seen: set[tuple[Any, ...]] = set()

    def step(self, *values: Any) -> None:
        """Take a row in."""
        if None not in values:
            self._seen.add(values)

    def finalize(self) -> int:
        """The count."""
        return len(self._seen)


class GroupConcat:
    """GROUP_CONCAT([DISTINCT] text ORDER BY ... SEPARATOR ...).

    Arguments: separator, whether distinct, orders of the keys such as `text- decimal+`, the text, the keys.
    """

    width: ClassVar[int] = -1

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []
        self._separator, self._distinct, self._orders = ",", 0, ""
        self._size = 0

    def step(self, separator: str, distinct: int, orders: str, text: str | None, *keys: Any) -> None:
        """Take a row in."""
        self._separator, self._distinct, self._orders = separator, distinct, orders
        if text is not None:
            self._size += len(text)
            if self._size > 64 * VALUE_LIMIT:
                raise too_big()
            self._rows.append((text, *keys))

    def finalize(self) -> str | None:
        """The texts in order, joined; of equal keys the last row comes first, as from MariaDB's tree."""
        rows = self._rows
        if self._distinct:
            kept = {collation.weights(row[0]).rstrip(" "): row for row in reversed(rows)}
            rows = [row for row in rows if kept[collation.weights(row[0]).rstrip(" ")] is row]
        rows = rows[::-1] if self._orders else rows
        for index, order in reversed(list(enumerate(self._orders.split(), 1))):
            rows = sorted(rows, key=cmp_to_key(_by(index, order[:-1])), reverse=order[-1] == "-")
        texts = [row[0] for row in rows]
        joined = self._separator.join(texts) if texts else None
        if joined is not None and len(joined) > VALUE_LIMIT:
            raise too_big()
        return joined


def _by(index: int, order: str) -> Any:
    def compare(left: tuple[Any, ...], right: tuple[Any, ...]) -> int:
        first, second = left[index], right[index]
        if first is None or second is None:
            return (first is not None) - (second is not None)
        return int(ORDERS[order](first, second))

    return compare


class Only:
    """The value of a subquery that must have one row at most."""

    width: ClassVar[int] = 1

    def __init__(self) -> None:
        self._value: Any = None
        self._count = 0

    def step(self, value: Any) -> None:
        """Take the row in.

        Raises:
            StatementError: It is the second.
        """
        self._count += 1
        if self._count > 1:
            raise fault(1242, "21000", "Subquery returns more than 1 row")
        self._value = value

    def finalize(self) -> Any:
        """The value, NULL without a row."""
        return self._value


AGGREGATES: dict[str, type[Any]] = {
    "a_sum_dec": SumDecimal, "a_sum_dbl": SumDouble, "a_avg_dec": AverageDecimal, "a_avg_dbl": AverageDouble,
    "a_sum_set": SumSet, "a_avg_set": AverageSet,
    "a_var": Variance, "a_var_samp": VarianceSample, "a_std": Deviation, "a_std_samp": DeviationSample,
    "a_count_distinct": CountDistinct, "a_group_concat": GroupConcat, "a_only": Only,
    **{f"a_min_{order}": _extreme(order, -1) for order in _COMPARE},
    **{f"a_max_{order}": _extreme(order, 1) for order in _COMPARE},
}  # fmt: skip
"""Every aggregate by its name in compiled statements."""
WINDOWED = frozenset(name for name, each in AGGREGATES.items() if issubclass(each, Aggregate))
