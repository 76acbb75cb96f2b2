"""What figures show of runs, worked out by hand, and of no runs at all."""

import numpy as np
import pytest
from matplotlib import pyplot as plt
from records import made_up

from alasso import plots
from alasso.presets import experiment

SI = experiment("pmnist-demo", "si")
RUNS = [made_up(SI, seed, m) for seed, m in enumerate(([[0.9, None], [0.7, 0.8]], [[0.5, None], [0.1, 0.6]]))]


@pytest.mark.parametrize(
    ("draw", "mean"),
    [
        (plots.average_accuracy, [0.7, 0.55]),
        (lambda ax, runs: plots.average_accuracy_of(ax, {"x": runs}, ["x"]), [0.7, 0.55]),
        (plots.spread, [0, 0.15]),
        (lambda ax, runs: plots.task_accuracy(ax, runs, 1), [0.7, 0.4]),
        (lambda ax, runs: plots.task_accuracy(ax, runs, 2), [np.nan, 0.7]),
    ],
)
def test_the_thick_line_is_the_mean_of_the_seeds(draw, mean):
    lines = draw(plt.figure().subplots(), RUNS).get_lines()
    thick = max(lines, key=lambda line: line.get_linewidth())
    assert list(thick.get_ydata()) == pytest.approx(mean, nan_ok=True)
    assert len([line for line in lines if line.get_linewidth() < thick.get_linewidth()]) == len(RUNS)


def test_what_is_left_at_the_end_is_a_dot_for_each_seed_and_their_mean():
    dots, bar, *_ = plots.final_accuracy(plt.figure().subplots(), {"x": RUNS}).get_lines()
    assert list(dots.get_xdata()) == pytest.approx([0.75, 0.35])
    assert list(bar.get_xdata()) == pytest.approx([0.55] * 2)
    *dots, line = plots.accuracy_against(plt.figure().subplots(), {"x": RUNS[:1], "y": RUNS}).get_lines()
    assert [list(d.get_ydata()) for d in dots] == [pytest.approx([0.75]), pytest.approx([0.75, 0.35])]
    assert list(line.get_ydata()) == pytest.approx([0.75, 0.55])


@pytest.mark.parametrize(
    "draw", [plots.average_accuracy, plots.spread, lambda ax, runs: plots.task_accuracy(ax, runs, 1)]
)
def test_without_runs_there_are_axes_and_no_curves(draw):
    ax = plt.figure().subplots()
    assert draw(ax, []) is ax
    assert not ax.get_lines()
    assert not ax.texts
