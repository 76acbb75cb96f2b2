"""What the book's explorers show: two tasks of one parameter, surrogates and a measured loss, a measured setting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alasso import evidence, formulas, landscape, plots, report, workers
from alasso.experiments import experiment
from alasso.presets import METHODS
from alasso.results import Run
from alasso.widgets import INK, Control, Explorer, figure, moving

ASYMMETRIC, SYMMETRIC, GREY = plots.LINES["alasso-published"][0], plots.LINES["si"][0], plots.LINES["none"][0]
OBSERVED = {"color": INK, "alpha": 0.08, "linewidth": 0}
PANELS = {"near": "near: up to twice as far as training moved it", "wide": "far: up to 1"}
SURROGATES = {"symmetric": (SYMMETRIC, "--", "symmetric (2)"), "asymmetric": (ASYMMETRIC, "-", "asymmetric (5)")}
THICK, THIN = {"linewidth": 2.2}, {"linewidth": 0.8, "alpha": 0.5}
# A parameter that one task has brought from −1 to its anchor at 0, with Ω̂ = 1, and the curvature of the next task.
ANCHOR, SIDE, IMPORTANCE, NEXT_CURVATURE = torch.tensor([[0.0], [-1.0], [1.0], [1.0]], dtype=torch.float64)

MEASURED = {
    "a": ("0.5", "0.8", "1", "1.2", "1.5", "1.8", "2", "3", "4", "5", "8"),
    "c": ("0.1", "0.3", "1", "3", "10", "30", "100"),
    "c_prime": ("0", "0.3", "1", "3", "10", "100", "1000"),
    "a_prime": ("0.5", "1", "1.8", "3", "5", "100", "1000"),
}
"""The values of each hyper-parameter that the small stream was trained with, all else as in *published*."""


def two_tasks() -> Explorer:
    """What c, a, c′ and a′ do to one parameter when both losses are parabolas and training finds the minimum of (6)."""
    theta = torch.linspace(-2, 2, 81, dtype=torch.float64)
    controls = (
        Control("m", "m, new task's minimum", (-2.0, -1.5, -1.0, -0.5, 0.5, 1.0, 1.5, 2.0), 6),
        Control("c", "c, the past's weight", (0.1, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0), 3),
        Control("a", "a, overestimation", (0.5, 1.0, 1.4, 1.8, 2.0, 3.0, 4.0, 5.0), 3),
        Control("c_prime", "c′, in the estimate", (0.0, 0.3, 0.5, 1.0, 1.8, 2.0, 3.0, 5.0), 3),
        Control("a_prime", "a′, in the estimate", (0.5, 1.0, 1.4, 1.8, 2.0, 3.0, 4.0, 5.0), 1),
    )

    def curves(v: Mapping) -> dict:
        stop, importance = next_surrogate(**v)
        task = NEXT_CURVATURE * (theta - v["m"]) ** 2
        past = formulas.asymmetric_surrogate(theta, ANCHOR, IMPORTANCE, SIDE, v["a"], 0.0)
        floor = NEXT_CURVATURE * (stop - v["m"]) ** 2
        floor = floor + v["c"] * formulas.asymmetric_surrogate(stop, ANCHOR, IMPORTANCE, SIDE, v["a"], 0.0)
        side = (ANCHOR - stop).sign()
        following = formulas.asymmetric_surrogate(theta, stop, importance.clamp(min=0), side, v["a"], 0.0)
        lines = {"past": v["c"] * past, "task": task, "total": formulas.total_loss(task, past, v["c"]) - floor}
        lines["following"] = following
        points = {name: (theta.numpy(), y.numpy()) for name, y in lines.items()}
        return points | {"stop": (np.array([stop.item()] * 2), np.array([0.0, 4.0]))}

    def readout(v: Mapping) -> str:
        stop, importance = next_surrogate(**v)
        curvature = formulas.asymmetric_curvature(stop, ANCHOR, IMPORTANCE, SIDE, v["a"], 0.0)
        exact = NEXT_CURVATURE + v["c"] * curvature
        return (
            f"Training stops at θ = {stop.item():.2f}. There the total loss has the coefficient {exact.item():.2f}; "
            f"equation (7) makes the next Ω̂ {importance.item():.2f}{', set to 0' * (importance.item() < 0)}."
        )

    plots.use_style()
    drawn, (ax,) = figure(1, 4.2)
    ax.axvspan(-2, 0, **OBSERVED)
    ax.text(-1.95, 0.08, "side the past has seen", fontsize=10)
    ax.plot(0, 0, "o", color=INK, markersize=6, clip_on=False)
    styles = {
        "past": ("the past's surrogate, times c", {"color": SYMMETRIC, "linestyle": "--"}),
        "task": ("loss of the new task", {"color": GREY, "linestyle": ":", "linewidth": 2}),
        "total": ("total loss, shifted so that its lowest value is 0", {"color": INK, **THICK}),
        "following": ("next surrogate (5), by (7)", {"color": ASYMMETRIC, **THICK}),
    }
    for name, (label, style) in styles.items():
        moving(ax, name, label=label, **style)
    moving(ax, "stop", color=INK, linewidth=1)
    ax.set(xlim=(-2, 2), ylim=(0, 4), xlabel="parameter θ", ylabel="loss")
    drawn.legend(loc="outside upper left", frameon=False, fontsize=10, handlelength=1.6)
    return Explorer(
        "tasks",
        "A parameter between two tasks: the past's surrogate, the new task's loss, their sum, and the next surrogate",
        "One parameter that the past wants at 0 and the new task elsewhere, both with coefficient 1. c and a decide "
        "where training stops (the thin line), and so have a part in how steep the next surrogate is. c′ and a′ act on "
        "that steepness only; where it comes out negative it is set to 0. "
        "With c′ = c and a′ = a it is the total loss on the stretch that training covered.",
        controls,
        (drawn,),
        curves,
        readout,
        {},
    )


def next_surrogate(m: float, c: float, a: float, c_prime: float, a_prime: float) -> tuple[Tensor, Tensor]:
    """Where (6) is lowest, if the new task's loss is (θ − m)², and what (7) gives if it ends there, (1,) each."""
    wanted = torch.tensor([m], dtype=torch.float64)
    # (6) is lowest on the side of the anchor where m lies: there it is one parabola.
    curvature = c * formulas.asymmetric_curvature(wanted, ANCHOR, IMPORTANCE, SIDE, a, 0.0)
    stop = (curvature * ANCHOR + NEXT_CURVATURE * wanted) / (curvature + NEXT_CURVATURE)
    omega = NEXT_CURVATURE * ((ANCHOR - wanted) ** 2 - (stop - wanted) ** 2)
    past = formulas.asymmetric_surrogate(stop, ANCHOR, IMPORTANCE, SIDE, a_prime, 0.0)
    importance = formulas.perfect_importance(omega, formulas.drop_of_the_past(past, c_prime), stop - ANCHOR, 0.0)
    return stop, importance


@dataclass(frozen=True)
class Sweep:
    """The loss of task 1 along one parameter of a network that has learned it."""

    label: str
    move: float  # θ̂ₖ¹ − θ̂ₖ⁰
    omega: float  # its path integral over task 1
    near: tuple[np.ndarray, np.ndarray]  # θₖ − θ̂ₖ out to twice the move, and the rise of the loss
    wide: tuple[np.ndarray, np.ndarray]  # out to 1


def sweeps(first: landscape.FirstTask) -> list[Sweep]:
    """Sweep two weights of each layer after task 1: that of the largest path integral, and the median one.

    The median is taken among weights with a positive path integral: those of pixels that are always black have none.
    """
    chosen = {}
    for layer, ((start, end), (outputs, _)) in enumerate(
        zip(landscape.layer_bounds(first.network), first.network.shapes, strict=True), start=1
    ):
        part = first.path_integral[start : end - outputs]  # without the biases
        order = part.argsort(descending=True)[: int((part > 0).sum())]
        chosen[f"layer {layer}, largest ω"] = start + int(order[0])
        chosen[f"layer {layer}, median ω"] = start + int(order[len(order) // 2])
    index = torch.tensor(list(chosen.values()))
    move, omega = (first.theta - first.previous)[index].double(), first.path_integral[index].double()
    unit = torch.arange(-20, 21, dtype=torch.float64) / 20
    curves = []
    for offsets in (2 * move.abs()[:, None] * unit, unit.expand(len(index), -1)):
        rises = landscape.rises(first.network, first.theta, *first.task.train(), index, offsets)
        curves.append(list(zip(offsets.numpy(), rises.numpy(), strict=True)))
    return [Sweep(*parts) for parts in zip(chosen, move.tolist(), omega.tolist(), *curves, strict=True)]


def measured_loss(swept: Sequence[Sweep]) -> Explorer:
    """The surrogates (2) and (5) against these curves, as functions of a, of the damping ξ and of ε."""
    controls = (
        Control("scene", "weight", tuple(sweep.label for sweep in swept)),
        Control("a", "a, overestimation", (0.5, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0), 6),
        Control("damping", "ξ, damping of (7)", (0.0, 1e-5, 1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 1.0)),
        Control("epsilon", "ε, least curvature of the unseen side", (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1), 1),
    )

    def importance(v: Mapping) -> tuple[Sweep, Tensor]:
        sweep = swept[v["scene"]]
        omega, move = (torch.tensor([value], dtype=torch.float64) for value in (sweep.omega, sweep.move))
        return sweep, formulas.perfect_importance(omega, torch.zeros(1), move, v["damping"])

    def curves(v: Mapping) -> dict:
        sweep, omega_hat = importance(v)
        side = torch.tensor([-np.sign(sweep.move)])
        points = {}
        for panel, reach in (("near", 2 * abs(sweep.move)), ("wide", 1.0)):
            x = reach * torch.linspace(-1, 1, 81, dtype=torch.float64) ** 3  # dense where a steep parabola is narrow
            symmetric = formulas.quadratic_surrogate(x, torch.zeros(1), omega_hat)
            asymmetric = formulas.asymmetric_surrogate(x, torch.zeros(1), omega_hat, side, v["a"], v["epsilon"])
            points[f"symmetric-{panel}"] = x.numpy(), symmetric.numpy()
            points[f"asymmetric-{panel}"] = x.numpy(), asymmetric.numpy()
        return points

    def readout(v: Mapping) -> str:
        sweep, omega_hat = importance(v)
        return (
            f"ω = {report.scientific(sweep.omega)} over a move of {report.scientific(abs(sweep.move))} makes Ω̂ = "
            f"{report.scientific(omega_hat.item())} on the observed side, and "
            f"{report.scientific(v['a'] * omega_hat.item() + v['epsilon'])} on the other."
        )

    return Explorer(
        "measured",
        "Rise of the loss of task 1 as one weight moves, measured, with the symmetric and the asymmetric surrogate",
        "Loss of task 1 on all its training images as one weight moves and all others stay. Near: up to twice as far "
        "as training moved the weight. Far: up to 1. Shaded: the observed side. Undamped (ξ = 0), the surrogate meets "
        "ω where training began, and is steeper than the loss of any of these weights alone.",
        controls,
        tuple(map(_draw_sweep, swept)),
        curves,
        readout,
        {"sweeps": [{"move": sweep.move, "omega": sweep.omega} for sweep in swept]},
    )


def _draw_sweep(sweep: Sweep):
    plots.use_style()
    drawn, axes = figure(2, 5.4)
    shown = zip(axes, PANELS.items(), (sweep.near, sweep.wide), (sweep.omega, 0), strict=True)
    for ax, (panel, title), (x, y), least in shown:
        ax.axvspan(*((x[0], 0) if sweep.move > 0 else (0, x[-1])), **OBSERVED)
        for name, (colour, dash, label) in SURROGATES.items():
            moving(ax, f"{name}-{panel}", color=colour, linestyle=dash, label=label, **THICK)
        ax.plot(x, y, color=INK, label="measured", **THICK)
        ax.plot(0, 0, "o", color=INK, markersize=6)
        top = 1.4 * max(least, y.max())
        ax.set(xlim=(x[0], x[-1]), ylim=(min(y.min(), 0) - 0.06 * top, top), ylabel="rise of the loss")
        ax.ticklabel_format(axis="y", scilimits=(-2, 3))
        ax.set_title(title, loc="right", fontsize=10)
    start = [-sweep.move] * 2
    axes[0].plot(start, [0, 1], ":", color=INK, linewidth=1, transform=axes[0].get_xaxis_transform())
    axes[0].annotate("training began", (start[0], 0.97), xycoords=("data", "axes fraction"), xytext=(4, 0),
                     textcoords="offset points", va="top", fontsize=10)  # fmt: skip
    axes[1].set_xlabel("distance of the weight from its trained value")
    drawn.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", frameon=False, fontsize=10, ncols=3)
    return drawn


def measured(preset: str, names: Sequence[str], seeds: int, folder: Path) -> dict[str, dict[float, list[Run]]]:
    """By hyper-parameter and value, the runs of *published* at MEASURED; trained where they are missing."""
    chosen = [(name, value) for name in names for value in MEASURED[name]]
    experiments = (experiment(preset, "alasso-published", {name: value}) for name, value in chosen)
    found = dict(zip(chosen, workers.runs(experiments, range(seeds), folder), strict=True))
    return {name: {float(value): found[name, value] for value in MEASURED[name]} for name in names}


def accuracy_against(name: str, groups: Mapping[float, list[Run]], caption: str) -> Explorer:
    """Average accuracy against a hyper-parameter as measured, and accuracy task by task at the value chosen.

    `groups` has the runs by value, of one method and with the same seeds; the method's own value is shown first.
    """
    values, one = list(groups), next(iter(groups.values()))[0]
    start = getattr(METHODS[one.method].surrogate, name)
    symbol, tasks = name.replace("_prime", "′"), np.arange(1, len(one.matrix) + 1)
    table, readouts = [], []
    for position, group in enumerate(groups.values()):
        lines = {"marker": ([position] * 2, [0, 1])}
        for part, rows in (("learned", [r.matrix.diagonal() for r in group]), ("final", [r.matrix[-1] for r in group])):
            lines[f"{part}-mean"] = tasks, np.mean(rows, axis=0)
            lines |= {f"{part}-{seed}": (tasks, row) for seed, row in enumerate(rows)}
        table.append({line: (np.round(x, 4).tolist(), np.round(y, 5).tolist()) for line, (x, y) in lines.items()})
        kept, learned = (100 * np.mean(of(group)) for of in (evidence.kept, evidence.learned))
        readouts.append(
            f"{symbol} = {values[position]:g}: {kept:.1f} % on average after the last task (seed by seed "
            f"{report.each(group)}); {learned:.1f} % when just learned."
        )

    plots.use_style()
    drawn, (above, below) = figure(2, 5.2)
    plots.accuracy_against(above, {f"{value:g}": group for value, group in groups.items()})
    above.set(xlabel=symbol, ylabel="accuracy at the end")
    moving(above, "marker", color=INK, linewidth=1)
    for part, colour, label in (("learned", GREY, "when just learned"), ("final", ASYMMETRIC, "after the last task")):
        for seed in range(len(groups[start])):
            moving(below, f"{part}-{seed}", color=colour, **THIN)
        moving(below, f"{part}-mean", color=colour, label=label, **THICK)
    lowest = min(min(y) for row in table for line, (_, y) in row.items() if line != "marker")
    below.set(ylim=(max(0, lowest - 0.05), 1.01), xticks=tasks, xlabel="task", ylabel="test accuracy")
    below.yaxis.set_major_formatter(plots.per_cent)
    below.legend(frameon=False, fontsize=10, loc="lower right")
    return Explorer(
        "table",
        f"Measured accuracy against {symbol}, and task by task at one value of it",
        caption,
        (Control(name, symbol, tuple(values), values.index(start)),),
        (drawn,),
        lambda v: table[values.index(v[name])],
        lambda v: readouts[values.index(v[name])],
        {"by": name, "values": values, "table": table, "readouts": readouts},
    )
