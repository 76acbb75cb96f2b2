"""Figures from runs: (ax, runs) → ax. Nothing here trains, and nothing here reads a file.

Every seed is drawn as a thin line, their mean as a thick one; a crowded figure has the means only. A method has one
colour and dash everywhere, after the palette of Okabe and Ito, which colour-blind readers can tell apart, and its name
stands at the end of its line.
A dagger marks runs of code that was not committed; that epochs are fewer than the paper's stands above the figure.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from alasso import metrics
from alasso.presets import BOUNDS, METHODS, PRESETS, WHOLE
from alasso.results import Run

SOLID, DASHED, DOTTED, DASH_DOT = "-", (0, (5, 2)), (0, (1.2, 1.6)), (0, (4, 1.5, 1.2, 1.5))
LINES = {
    "none": ("#5f5f5f", SOLID),
    "dropout": ("#5f5f5f", DASHED),
    "single": ("#000000", DASHED),
    "multi": ("#000000", DOTTED),
    "si": ("#0072B2", SOLID),
    "mas": ("#2E8BC0", DASH_DOT),
    "ewc": ("#009E73", SOLID),
    "online-ewc": ("#009E73", DASHED),
    "imm-mean": ("#B07D00", DASHED),
    "imm-mode": ("#B07D00", SOLID),
    "vcl": ("#6A3D9A", SOLID),
    "alasso-published": ("#D55E00", SOLID),
    "alasso-paper": ("#B85C92", SOLID),
    "alasso-si-importance": ("#D55E00", DASHED),
    "alasso-symmetric": ("#D55E00", DOTTED),
    "alasso-coupled": ("#882255", DASH_DOT),
}

LANDMARKS = ("none", "alasso-published", "single")
"""Named even where they are many in the background."""


def use_style() -> None:
    """One look for all figures; text stays text in SVG files."""
    frame = {"axes.spines.top": False, "axes.spines.right": False, "figure.constrained_layout.use": True}
    sns.set_theme(style="ticks", context="notebook", rc=frame | {"svg.fonttype": "none", "svg.hashsalt": "alasso"})


def per_cent(share: float, _position: int | None = None) -> str:
    """How an axis writes a share, with no more digits than it needs; for `set_major_formatter`."""
    return f"{100 * share:g}%"


def points(share: float, _position: int | None = None) -> str:
    """How an axis writes a difference or a spread of shares, in points."""
    return f"{100 * share:g}"


def average_accuracy(ax: Axes, runs: list[Run], front: Collection[str] = METHODS, crowded: bool = False) -> Axes:
    """Mean test accuracy of the tasks seen so far against their number (Figure 5).

    Methods that are not in front are grey lines, of which, if there are more than two, only the landmarks have a name.
    """
    return _average_accuracy(ax, _by_method(runs, front), crowded)


def average_accuracy_of(ax: Axes, groups: dict[str, list[Run]], broken: Collection[str] = ()) -> Axes:
    """The same with one curve a group, in the colour of its method and with the group's name.

    Lines have the dash of their method; or, if some are to be broken, of a method's groups among these each has another
    dash, and all others but the bounds are solid.
    """
    dashes = defaultdict(lambda: iter((DASHED, DOTTED, DASH_DOT)))
    lines = []
    for name, runs in groups.items():
        colour, dash = LINES[runs[0].method]
        if broken:
            whole = dash if runs[0].method in BOUNDS else SOLID
            dash = next(dashes[runs[0].method]) if name in broken else whole
        lines.append(_Line(runs, name, colour, dash))
    return _average_accuracy(ax, lines)


def spread(ax: Axes, runs: list[Run], crowded: bool = False) -> Axes:
    """Standard deviation of the test accuracy over the tasks seen so far, in points (Figure 6)."""
    _curves(ax, _by_method(runs), metrics.spread, crowded)
    ax.set(xlabel="tasks trained", ylabel="standard deviation over tasks, points")
    ax.yaxis.set_major_formatter(points)
    return ax


def task_accuracy(ax: Axes, runs: list[Run], task: int) -> Axes:
    """Test accuracy on one task (1, 2, …) from when it is learned to the end (Figure 4)."""
    _curves(ax, _by_method(runs), lambda matrix: matrix[:, task - 1])
    ax.set(xlabel="tasks trained", ylabel=f"test accuracy on task {task}")
    ax.yaxis.set_major_formatter(per_cent)
    return ax


def final_by_task(ax: Axes, runs: list[Run]) -> Axes:
    """Test accuracy at the end on the first and every fifth task, and its average over all (Figures 8 and 9).

    A mark for each seed; methods stand side by side. If there are several seeds their average has a bar at the mean;
    the tasks have none, as task k of another seed has other classes.
    """
    methods = list(dict.fromkeys(run.method for run in runs))
    tasks = [1, *range(5, len(runs[0].matrix) + 1, 5)]
    for position, method in enumerate(methods):
        mine = [run for run in runs if run.method == method]
        ends = np.array([run.matrix[-1] for run in mine])
        columns = np.column_stack([ends[:, [task - 1 for task in tasks]], ends.mean(1)])  # (seeds, tasks and average)
        colour = LINES[method][0]
        at = np.arange(len(tasks) + 1) + 0.8 * ((position + 0.5) / len(methods) - 0.5)
        width, marker, line = 0.32 / len(methods), "os^vD"[position % 5], "-" * (len(mine) > 1)
        if line:
            ax.hlines(columns[:, -1].mean(), at[-1] - width, at[-1] + width, color=colour, linewidth=2.5)
        for values in columns:
            ax.plot(at, values, marker, color=colour, markersize=4 if line else 6, alpha=0.5 if line else 1)
        ax.plot([], [], marker + line, color=colour, label=_marked(METHODS[method].label, mine))
    ax.axvline(len(tasks) - 0.5, color="0.6", linewidth=1)
    ax.set(xticks=range(len(tasks) + 1), xticklabels=[*map(str, tasks), "average"], xlabel="task")
    ax.set_ylabel("test accuracy at the end")
    ax.yaxis.set_major_formatter(per_cent)
    ax.legend(frameon=False, ncols=len(methods), loc="lower center", bbox_to_anchor=(0.5, 1.04), columnspacing=1)
    _note(ax, runs)
    return ax


def accuracy_against(ax: Axes, groups: dict[str, list[Run]]) -> Axes:
    """Average accuracy at the end, one column a value of a setting: a dot for each seed, a line through the means.

    Columns stand side by side at 0, 1, …, whatever the distance of their values. The axis spans thirty points or more,
    so that what is small looks small.
    """
    finals = [[metrics.final_accuracy(run.matrix) for run in runs] for runs in groups.values()]
    colour, dash = LINES[next(iter(groups.values()))[0].method]
    for column, final in enumerate(finals):
        ax.plot([column] * len(final), final, "o", color=colour, markersize=5, alpha=0.6)
    ax.plot([np.mean(final) for final in finals], color=colour, linestyle=dash, linewidth=2.2)
    ax.set(xticks=range(len(finals)), xticklabels=list(groups), ylabel="average test accuracy at the end")
    low, high = ax.get_ylim()
    reach = max(high - low, 0.3) / 2
    ax.set_ylim((low + high) / 2 - reach, (low + high) / 2 + reach)
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_formatter(per_cent)
    _note(ax, [run for runs in groups.values() for run in runs])
    return ax


def final_accuracy(ax: Axes, groups: dict[str, list[Run]]) -> Axes:
    """Average accuracy at the end, one row a group of runs: a dot for each seed, a bar for their mean.

    The first group is what the others are compared with: a line marks its mean, and a band one standard deviation of
    its seeds on either side.
    """
    finals = {name: [metrics.final_accuracy(run.matrix) for run in runs] for name, runs in groups.items()}
    for row, (name, values) in enumerate(finals.items()):
        colour = LINES[groups[name][0].method][0]
        offsets = np.linspace(-0.15, 0.15, len(values)) if len(values) > 1 else np.zeros(1)  # equal ones show, too
        ax.plot(values, row + offsets, "o", color=colour, markersize=5, alpha=0.6)
        ax.plot([np.mean(values)] * 2, [row - 0.3, row + 0.3], color=colour, linewidth=2.5)
    usual = next(iter(finals.values()))
    middle = np.mean(usual)
    ax.axvline(middle, color="0.6", linewidth=1, linestyle=DASHED, zorder=0)
    if len(usual) > 1:
        off = np.std(usual, ddof=1)
        ax.axvspan(middle - off, middle + off, color="0.92", zorder=-1)
    labels = [_marked(name, runs) for name, runs in groups.items()]
    ax.set(yticks=range(len(finals)), yticklabels=labels, xlabel="average test accuracy at the end")
    ax.invert_yaxis()
    ax.xaxis.set_major_formatter(per_cent)
    _note(ax, [run for runs in groups.values() for run in runs])
    return ax


class _Line(NamedTuple):
    """Some runs and the name, colour and dash of their mean; in the background there is no colour and no dash."""

    runs: list[Run]
    name: str
    colour: str | None = None
    dash: str | tuple | None = None


def _by_method(runs: list[Run], front: Collection[str] = METHODS) -> Iterator[_Line]:
    methods = dict.fromkeys(run.method for run in runs)
    behind = [method for method in methods if method not in front]
    named = behind if len(behind) <= 2 else LANDMARKS
    for method in methods:
        mine, label = [run for run in runs if run.method == method], METHODS[method].label
        if method in front:
            yield _Line(mine, label, *LINES[method])
        else:
            yield _Line(mine, label if method in named else "")


def _average_accuracy(ax: Axes, lines: Iterable[_Line], crowded: bool = False) -> Axes:
    _curves(ax, lines, metrics.average_accuracy, crowded)
    ax.set(xlabel="tasks trained", ylabel="average test accuracy")
    ax.yaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_formatter(per_cent)
    return ax


def _curves(
    ax: Axes, lines: Iterable[_Line], summary: Callable[[np.ndarray], np.ndarray], crowded: bool = False
) -> None:
    """One curve of summary(matrix), (T,), a run, and their mean a line; nothing without runs.

    If it is crowded there are no curves of single runs.
    """
    ends, drawn = [], []
    for runs, name, colour, dash in lines:
        curves = np.array([summary(run.matrix) for run in runs])
        trained = np.arange(1, curves.shape[1] + 1)
        if colour is None:
            ax.plot(trained, curves.mean(0), color="0.78", linewidth=1.2, zorder=0)
        else:
            if len(curves) > 1 and not crowded:
                ax.plot(trained, curves.T, color=colour, linewidth=0.8, alpha=0.5)
            ax.plot(trained, curves.mean(0), color=colour, linestyle=dash, linewidth=2.2)
        if name:
            ends.append((curves.mean(0)[-1], name if colour is None else _marked(name, runs), colour or "0.42"))
        drawn += runs
    if drawn:
        most = max(len(run.matrix) for run in drawn)
        ticks = [int(at) for at in MaxNLocator(5, steps=[1, 2, 5, 10], integer=True).tick_values(0, most)]
        ax.set_xticks([1] * (ticks[1] - ticks[0] >= 5) + [at for at in ticks if 0 < at <= most])
        ax.set_xlim(left=0.5)  # where no task is trained yet there is nothing
        label_ends(ax, trained[-1], ends)
        _note(ax, drawn)


def _marked(name: str, runs: list[Run]) -> str:
    return name + " †" * any(run.dirty for run in runs)


def _note(ax: Axes, runs: list[Run]) -> None:
    """Say above the figure what its numbers are not: those of committed code, or of all epochs."""
    notes = []
    for preset, epochs in dict.fromkeys((run.preset, run.protocol["epochs"]) for run in runs):
        every = PRESETS[WHOLE.get(preset, preset)].protocol.epochs
        notes += [f"{preset}: {epochs} of {every} epochs"] * (epochs < every)
    notes += ["† code not committed"] * any(run.dirty for run in runs)
    ax.set_title("; ".join(notes), loc="right", fontsize="small")


def label_ends(ax: Axes, x: float, ends: list[tuple[float, str, str]]) -> None:
    """Write each name beside the end of its curve, moved as little as it takes to stay clear of the others.

    If one had to move so far that it stands beside another curve, a thin line leads from each end to its name.
    """
    low, high = ax.get_ylim()
    gap = 0.2 / (ax.figure.get_figheight() * ax.get_position().height) * (high - low)  # 0.2 inches
    ends = sorted(ends)
    places = apart([y for y, *_ in ends], gap, low, high)
    tied = any(abs(at - y) > gap / 2 for (y, *_), at in zip(ends, places, strict=True))
    away = 22 if tied else 8
    for (y, name, colour), at in zip(ends, places, strict=True):
        beside = {"textcoords": "offset points", "color": colour, "va": "center", "annotation_clip": False}
        ax.annotate(name, (x, at), xytext=(away, 0), **beside)
        if tied:
            end = ax.transData + ScaledTranslation((away - 2) / 72, 0, ax.figure.dpi_scale_trans)
            line = {"arrowstyle": "-", "color": colour, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 3}
            ax.annotate("", (x, y), (x, at), textcoords=end, arrowprops=line, annotation_clip=False)


def apart(values: list[float], gap: float, low: float, high: float) -> np.ndarray:
    """The places nearest to these ascending values, by least squares, that are `gap` apart and between low and high.

    Without the gaps they would be ascending: isotonic regression, by pooling of neighbours that are not.
    """
    gaps = gap * np.arange(len(values))
    pools: list[tuple[float, int]] = []  # mean, size
    for value in np.asarray(values) - gaps:
        pools.append((value, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (one, m), (other, n) = pools[-2:]
            pools[-2:] = [((m * one + n * other) / (m + n), m + n)]
    ascending = [mean for mean, size in pools for _ in range(size)]
    return np.clip(ascending, low, max(low, high - gap * (len(values) - 1))) + gaps
