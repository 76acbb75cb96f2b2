"""Figures of the method's chapters: (ax, what was computed) → ax. Colours as in plots.py; formulas, not copies of them.

Nothing here trains or measures.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from alasso import formulas
from alasso.plots import DASHED, DOTTED, LINES, label_ends, per_cent
from alasso.presets import METHODS

SI_BLUE, ALASSO_ORANGE = LINES["si"][0], LINES["alasso-published"][0]
TWO = ("#B85C92", "#009E73")  # two parameters of one loss
GROUND = "0.93"  # behind the observed side


def epochs(ax: Axes, curves: dict[str, np.ndarray], per_task: int, names: bool) -> Axes:
    """Accuracy on one task after every epoch, (seeds, epochs) a method; a line where a new task begins."""
    ends = []
    for method, runs in curves.items():
        colour, dash = LINES[method]
        trained = np.arange(1, runs.shape[1] + 1)
        if len(runs) > 1:
            ax.plot(trained, runs.T, color=colour, linewidth=0.8, alpha=0.5)
        ax.plot(trained, runs.mean(0), color=colour, linestyle=dash, linewidth=2.2)
        ends.append((runs.mean(0)[-1], METHODS[method].label, colour))
    for start in range(per_task, len(trained), per_task):
        ax.axvline(start + 0.5, color="0.7", linewidth=1, linestyle=DOTTED, zorder=0)
    ax.set(xlabel="epochs trained", xlim=(0.5, len(trained) + 0.5), ylim=(0, 1))
    ax.set_xticks(range(per_task, len(trained) + 1, per_task))
    if names:
        label_ends(ax, trained[-1], ends)
    ax.yaxis.set_major_formatter(per_cent)
    return ax


def valleys(
    ax: Axes, losses: Sequence[Callable], paths: dict[str, tuple[np.ndarray, str]], x: np.ndarray, y: np.ndarray
) -> Axes:
    """Contours of losses of two parameters, and paths (steps, 2) over them, each with its colour.

    A circle is where a path starts, a disc where it ends."""
    grid = np.meshgrid(x, y)
    for loss, dash in zip(losses, ("dashed", "solid"), strict=False):
        values = loss(*grid)
        levels = values.max() * np.linspace(0.12, 1, 7) ** 2
        ax.contour(*grid, values, levels=levels, colors="0.55", linestyles=dash, linewidths=1, zorder=0)
    for name, (path, colour) in paths.items():
        ax.plot(*path.T, color=colour, linewidth=2.2)
        ax.plot(*path[0], "o", color=colour, markersize=7, markerfacecolor="white")
        ax.plot(*path[-1], "o", color=colour, markersize=7)
        beside = {"xytext": (10, -4), "textcoords": "offset points", "va": "top", "fontsize": 11}
        ax.annotate(name, path[-1], color=colour, **beside)
    ax.set(xlabel=r"$\theta_1$", ylabel=r"$\theta_2$")
    return ax


def shares(ax: Axes, path_integrals: np.ndarray, drop: np.ndarray) -> Axes:
    """Running path integrals of two parameters, (steps, 2), their sum, and the drop of the loss, (steps,)."""
    steps = np.arange(len(drop))
    ax.plot(steps, drop, color="0.7", linewidth=6, solid_capstyle="round")
    ax.plot(steps, path_integrals.sum(1), color="black", linewidth=1.6, linestyle=DASHED)
    for k, colour in enumerate(TWO):
        ax.plot(steps, path_integrals[:, k], color=colour, linewidth=2.2)
    ends = {r"$\omega_1$": (path_integrals[-1, 0], TWO[0]), r"$\omega_2$": (path_integrals[-1, 1], TWO[1])}
    for name, (y, colour) in {**ends, r"$\omega_1+\omega_2$": (drop[-1], "black")}.items():
        ax.annotate(name, (steps[-1], y), (8, 0), textcoords="offset points", color=colour, va="center")
    ax.set(xlabel="steps", ylabel="drop of the loss")
    return ax


def parabolas(ax: Axes, theta: np.ndarray, curves: dict[str, tuple[np.ndarray, str, object]], at: dict) -> Axes:
    """Curves over one parameter, (values, colour, dash) each, named at their right end; points named below the axis."""
    for name, (values, colour, dash) in curves.items():
        ax.plot(theta, values, color=colour, linestyle=dash, linewidth=2.2, label=name)
    for name, place in at.items():
        ax.axvline(place, color="0.75", linewidth=1, zorder=0)
        ax.annotate(
            name,
            (place, 0),
            (0, -5),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            va="top",
        )
    ax.set(xlabel=r"$\theta_k$", ylabel="loss", xticks=[], yticks=[], xlim=(theta[0], theta[-1]))
    ax.xaxis.labelpad = 20
    return ax


def drift(ax: Axes, optimum: np.ndarray, trajectories: dict[str, np.ndarray]) -> Axes:
    """One parameter after each task, (T,) a method, with the exact optimum of all losses so far as a grey line."""
    tasks = np.arange(1, len(optimum) + 1)
    ax.plot(tasks, optimum, color="0.75", linewidth=7, solid_capstyle="round")
    for method, values in trajectories.items():
        ax.plot(tasks, values, "o-", color=LINES[method][0], markersize=5)
    ends = [(values[-1], METHODS[method].short, LINES[method][0]) for method, values in trajectories.items()]
    label_ends(ax, tasks[-1], [*ends, (optimum[-1], "optimum", "0.5")])
    ax.set(xlabel="tasks trained", ylabel=r"$\hat\theta_k^n$")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def distances(ax: Axes, errors: dict[str, np.ndarray]) -> Axes:
    """Largest distance from the exact optimum after each task, (T,) a method, on a logarithmic axis."""
    floor = np.finfo(np.float64).eps / 2
    for method, values in errors.items():
        colour = LINES[method][0]
        tasks = np.arange(1, len(values) + 1)
        ax.semilogy(tasks, np.maximum(values, floor), "o-", color=colour, markersize=5)
        name = METHODS[method].short
        ax.annotate(
            name, (tasks[-1], max(values[-1], floor)), (8, 0), textcoords="offset points", color=colour, va="center"
        )
    ax.set(xlabel="tasks trained", ylabel="distance from the optimum", ylim=(floor / 4, 10))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def two_piece_surrogate(
    ax: Axes, previous: float, anchor: float, importance: float, a: float, loss: Callable | None = None
) -> Axes:
    """The surrogate (5) of a parameter that went from `previous` to `anchor` (Figure 3), its observed side shaded.

    With a loss, that loss too and the symmetric surrogate (2): Figure 1.
    """
    reach = 1.5 * abs(previous - anchor)
    theta = torch.linspace(anchor - reach, anchor + reach, 401, dtype=torch.float64)
    here, curvature = torch.tensor(anchor), torch.tensor(importance)
    side = torch.tensor(previous - anchor).sign()
    observed = formulas.observed_side(theta, here, side) >= 0
    surrogate = formulas.asymmetric_surrogate(theta, here, curvature, side, a, epsilon=1e-6)
    ax.axvspan(anchor, anchor + float(side) * reach, color=GROUND, linewidth=0)
    if loss:
        ax.plot(theta, loss(theta), color="black", linewidth=2.2, label="loss")
        symmetric = formulas.quadratic_surrogate(theta, here, curvature)
        ax.plot(theta, symmetric, color=SI_BLUE, linewidth=2.2, linestyle=DASHED, label="symmetric")
    ax.plot(theta[observed], surrogate[observed], color=ALASSO_ORANGE, linewidth=2.2, alpha=0.6 if loss else 1)
    ax.plot(theta[~observed], surrogate[~observed], color=ALASSO_ORANGE, linewidth=2.2, label="asymmetric")
    for place, name in ((previous, r"$\hat\theta_k^{n-1}$"), (anchor, r"$\hat\theta_k^{n}$")):
        height = importance * (place - anchor) ** 2
        ax.plot(place, height, "o", color="black", markersize=6)
        out = 14 * float(side) * (place != anchor)  # below the curve, where it rises away
        ax.annotate(name, (place, height), (out, -9), textcoords="offset points", ha="center", va="top")
    top = importance * reach**2 * (1 + a) / 2
    for name, way in (("observed side", side), ("unobserved side", -side)):
        ax.text(anchor + float(way) * reach / 2, 1.02 * top, name, ha="center", color="0.3", fontsize=11)
    ax.set(ylabel="loss", xticks=[], yticks=[], ylim=(-0.26 * top, top))
    ax.set_xlabel(r"$\theta_k$", loc="right")
    if loss:
        ax.legend(frameon=False, loc="upper left", fontsize=11)
    ax.set_xlim(float(theta[0]), float(theta[-1]))
    return ax


def sweep(ax: Axes, units: np.ndarray, rise: np.ndarray) -> Axes:
    """Measured rise of the loss along one parameter (Figure 2); −1 is where its training began, 0 where it ended."""
    ax.axvspan(units[0], 0, color=GROUND, linewidth=0)
    ax.axhline(0, color="0.7", linewidth=1)
    ax.plot(units, rise, color="black", linewidth=2.2)
    for place in (-1, 0):
        ax.plot(place, np.interp(place, units, rise), "o", color="black", markersize=5)
    ax.set(xlim=(units[0], units[-1]), xticks=[-2, -1, 0, 1, 2])
    ax.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    return ax


def asymmetries(ax: Axes, measured: dict[str, tuple[np.ndarray, str]]) -> Axes:
    """Share of parameters with each asymmetry from −1 to 1, in 20 bins; (values, colour) under a name."""
    bins = np.linspace(-1, 1, 21)
    ax.axvspan(-1, 0, color=GROUND, linewidth=0)
    for name, (values, colour) in measured.items():
        share = np.histogram(values, bins)[0] / len(values)
        ax.stairs(share, bins, color=colour, linewidth=2.2, label=name)
    ax.set(xlim=(-1, 1), ylabel="share")
    ax.yaxis.set_major_formatter(per_cent)
    return ax


def along_line(ax: Axes, steps: np.ndarray, curves: Sequence[tuple[str, np.ndarray, str, object]]) -> Axes:
    """Rise of the loss along a line and what surrogates say of it; each curve is (name, values, colour, dash)."""
    for name, values, colour, dash in curves:
        ax.plot(steps, values, color=colour, linestyle=dash, linewidth=2.2)
        ax.annotate(name, (steps[-1], values[-1]), (8, 0), textcoords="offset points", color=colour, va="center")
    ax.set(ylabel="rise of the loss", xlim=(steps[0], steps[-1]))
    return ax


def curvature_against_move(ax: Axes, displacement: Tensor, importance: Tensor) -> Axes:
    """Ω̂ₖ of many parameters against how far each moved, both logarithmic."""
    ax.loglog(displacement.abs(), importance, ".", color=ALASSO_ORANGE, markersize=3, alpha=0.5, rasterized=True)
    ax.set(xlabel=r"net move $|\hat\theta_k^1-\hat\theta_k^0|$", ylabel=r"$\hat\Omega_k^1$")
    return ax
