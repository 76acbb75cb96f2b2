"""Figures of no runs at all; figures of runs are in the tests of what makes them."""

import pytest
from matplotlib import pyplot as plt

from alasso import plots


@pytest.mark.parametrize(
    "draw", [plots.average_accuracy, plots.spread, lambda ax, runs: plots.task_accuracy(ax, runs, 1)]
)
def test_without_runs_there_are_axes_and_no_curves(draw):
    ax = plt.figure().subplots()
    assert draw(ax, []) is ax
    assert not ax.get_lines()
    assert not ax.texts
