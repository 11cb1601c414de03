"""Charts as numbers of a page, and as files of their own."""

import pytest

from agentray.report import charts


def test_a_line_is_smoothed_and_what_is_not_known_is_passed_over():
    chart = charts.line_chart({"a": [(0, 4.0), (1, None), (2, 2.0), (3, 0.0)], "b": [(None, 1.0)]}, "step", 2)
    (line,) = chart.lines
    assert (line.first, line.last, chart.xs) == (4.0, 1.0, (0, 3))
    assert line.points == "0.00,0.00 66.67,60.00 100.00,180.00"
    assert charts.line_chart({"a": [(0, None)]}, "step") is None


def test_curve_of_one_point_and_of_nothing(tmp_path):
    charts.write_curve({"score": [(0.2, 0.0)]}, tmp_path / "one.svg", "one")
    with pytest.raises(ValueError, match="no curve"):
        charts.write_curve({}, tmp_path / "none.svg", "none")
