"""What figures show of runs, worked out by hand, and of no runs at all."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib import pyplot as plt
from records import made_up

from alasso import plots
from alasso.experiments import experiment
from alasso.presets import METHODS

SI = experiment("pmnist-demo", "si")
RUNS = [made_up(SI, seed, m) for seed, m in enumerate(([[0.9, None], [0.7, 0.8]], [[0.5, None], [0.1, 0.6]]))]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


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


@pytest.mark.parametrize("draw", [plots.average_accuracy, plots.spread])
def test_a_crowded_figure_has_means_only(draw):
    ax = draw(plt.figure().subplots(), RUNS, crowded=True)
    assert len(ax.get_lines()) == 1
    assert [text.get_text() for text in ax.texts] == ["SI"]


def test_changed_settings_of_one_method_have_a_dash_each():
    groups = dict.fromkeys(("chosen", "stiff", "soft"), RUNS)
    ax = plots.average_accuracy_of(plt.figure().subplots(), groups, ("stiff", "soft"))
    dashes = [line._dash_pattern for line in ax.get_lines() if line.get_linewidth() > 2]
    assert len({str(dash) for dash in dashes}) == 3


def test_no_two_methods_share_colour_and_dash():
    assert plots.LINES.keys() == METHODS.keys()
    assert len(set(plots.LINES.values())) == len(plots.LINES)


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


def test_names_that_stand_beside_their_curves_need_no_line_to_them():
    ax = plt.figure().subplots()
    plots.label_ends(ax, 1, [(0.5, "upper", "black"), (0.1, "lower", "black")])
    assert sorted(text.get_text() for text in ax.texts) == ["lower", "upper"]


def test_names_at_the_ends_of_curves_keep_clear_of_each_other_and_in_order():
    ax = plt.figure().subplots()
    ax.set_ylim(0, 1)
    plots.label_ends(ax, 1, [(0.5, "upper", "k"), (0.499, "lower", "k"), (0.4985, "lowest", "k"), (0.9, "far", "k")])
    names = [text for text in ax.texts if text.get_text()]
    ties = [text for text in ax.texts if not text.get_text()]
    heights = {text.get_text(): text.xy[1] for text in names}
    assert sorted(tie.xy[1] for tie in ties) == pytest.approx([0.4985, 0.499, 0.5, 0.9])
    assert all(tie.arrow_patch is not None for tie in ties)
    assert heights["lowest"] + heights["lower"] + heights["upper"] == pytest.approx(1.4975)
    assert heights["upper"] - heights["lower"] == pytest.approx(heights["lower"] - heights["lowest"])
    assert heights["upper"] > heights["lower"] + 0.02
    assert heights["far"] == pytest.approx(0.9)


def test_names_are_moved_no_further_than_they_must():
    """Against any other places that are as far apart."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        values = np.sort(rng.uniform(0, 1, 6))
        found = plots.apart(list(values), 0.1, 0, 1)
        assert np.diff(found).min() > 0.1 - 1e-12
        assert 0 <= found[0] < found[-1] <= 1
        for _ in range(200):
            other = np.sort(rng.uniform(0, 0.5, 6)) + 0.1 * np.arange(6)
            assert ((found - values) ** 2).sum() <= ((other - values) ** 2).sum() + 1e-12


MARKS = pytest.mark.parametrize(
    ("dirty", "preset", "changes", "said"),
    [
        (False, "pmnist-demo", {}, ""),
        (True, "pmnist-demo", {}, "† code not committed"),
        (False, "pmnist30-short", {}, "pmnist30-short: 5 of 20 epochs"),
        (True, "split-cifar-short", {}, "split-cifar-short: 15 of 60 epochs; † code not committed"),
        (False, "split-tiny-64", {"epochs": "15"}, "split-tiny-64: 15 of 60 epochs"),
        (False, "split-cifar", {"epochs": "240"}, ""),
    ],
)


@MARKS
@pytest.mark.parametrize(
    "draw",
    [
        plots.final_by_task,
        lambda ax, runs: plots.accuracy_against(ax, {"1": runs}),
    ],
)
def test_uncommitted_code_and_fewer_epochs_are_noted_above(draw, dirty, preset, changes, said):
    run = made_up(experiment(preset, "si", changes), 0, [[0.9, None], [0.7, 0.8]])
    assert draw(plt.figure().subplots(), [replace(run, dirty=dirty)]).get_title(loc="right") == said


@MARKS
@pytest.mark.parametrize(
    "draw",
    [
        plots.average_accuracy,
        plots.spread,
        lambda ax, runs: plots.task_accuracy(ax, runs, 1),
        lambda ax, runs: plots.final_accuracy(ax, {run.method: [run] for run in runs}),
    ],
)
def test_uncommitted_code_and_fewer_epochs_are_marked_in_every_figure(draw, dirty, preset, changes, said):
    matrix = [[0.9, None], [0.7, 0.8]]
    ours = replace(made_up(experiment(preset, "si", changes), 0, matrix), dirty=dirty)
    ax = draw(plt.figure().subplots(), [ours, made_up(experiment(preset, "none", changes), 0, matrix)])
    assert ax.get_title(loc="right") == said
    names = [text.get_text() for text in (*ax.texts, *ax.get_yticklabels()) if text.get_text()[:1].isalpha()]
    marked = {name.removesuffix(" †").casefold(): name.endswith(" †") for name in names}
    assert list(marked.values()).count(True) == dirty
    assert marked["si"] is dirty
    assert len(marked) == 2


def test_methods_behind_are_grey_and_only_landmarks_have_a_name():
    names = ("si", "none", "ewc", "mas", "alasso-published")
    runs = [made_up(experiment("pmnist-demo", name), 0, [[0.9, None], [0.7, 0.8]]) for name in names]
    ax = plots.average_accuracy(plt.figure().subplots(), runs, front=("si",))
    named = {text.get_text() for text in ax.texts if text.get_text()}
    assert named == {"SI", "plain training", "ALASSO, published"}
    assert [line.get_color() for line in ax.lines].count("0.78") == 4


def test_what_is_small_looks_small_and_the_band_is_one_deviation():
    ax = plots.accuracy_against(plt.figure().subplots(), {"x": RUNS[:1], "y": RUNS[:1]})
    assert np.ptp(ax.get_ylim()) == pytest.approx(0.3)
    (band,) = plots.final_accuracy(plt.figure().subplots(), {"x": RUNS, "y": RUNS[:1]}).patches
    deviation = 0.4 / 2**0.5  # of .75 and .35
    assert (band.get_x(), band.get_width()) == pytest.approx((0.55 - deviation, 2 * deviation))
