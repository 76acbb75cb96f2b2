"""Whether the paper's main claims hold: by how many points, wherever this project has measured them. Nothing trains."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from alasso import evidence, numbers, report
from alasso.experiments import Experiment
from alasso.numbers import CLOSE, ROUGH
from alasso.results import Run
from alasso.search import Settings, counted, tuned

Side = Mapping[str, tuple[Settings, ...]]
"""By method, the settings of which the best counts."""


class Place(NamedTuple):
    """Where a claim was measured."""

    words: str
    preset: str
    changes: Settings = MappingProxyType({})


PERMUTED = (
    Place("20 epochs", "pmnist30"),
    Place("5 epochs", "pmnist30-short"),
    Place("100 tasks of 5 epochs", "pmnist100-short"),
    Place("the small stream", "pmnist-demo"),
)
CIFAR = (Place("60 epochs", "split-cifar"), Place("240 epochs", "split-cifar", {"epochs": "240"}))
TINY = (
    Place("224 × 224 pixels", "split-tiny"),
    Place("15 epochs, 64 × 64", "split-tiny-64", {"epochs": "15"}),
)
PUBLISHED: Side = {"alasso-published": ({},)}
EVERY_OTHER: Side = {
    name: counted("pmnist30", name) for name in ("none", "dropout", "ewc", "si", "mas", "imm-mean", "imm-mode", "vcl")
}


@dataclass(frozen=True)
class Claim:
    """Does one side keep so much more than the best of the others?"""

    says: str
    """The paper's, in words, with its place there."""
    needed: float
    """The share by which it must be ahead for a yes; of two that keep the same, by which they may differ."""
    others: Side
    places: tuple[Place, ...]
    """The first is the paper's own experiment."""
    ours: Side = field(default_factory=lambda: PUBLISHED)
    """One method with one setting."""
    same: bool = False
    """The claim is that both keep the same."""


CLAIMS = (
    Claim(
        "ALASSO is at least about 15 points above every other method (5.2, Figures 5, J)",
        0.15 - ROUGH,
        EVERY_OTHER,
        PERMUTED,
    ),
    Claim("The perfect quadratic, (7), brings a clear benefit (5.2)", 0, {"alasso-si-importance": ({},)}, PERMUTED),
    Claim("The asymmetry, (5), brings a clear benefit (5.2)", 0, {"alasso-symmetric": ({},)}, PERMUTED),
    Claim(
        "Decoupling does not affect the accuracy (5.2, Figure 7)", CLOSE, {"alasso-coupled": ({},)}, PERMUTED, same=True
    ),
    Claim(
        "$a$ = 2 keeps more than .8 and 1 (5.5, Table 1)",
        0,
        {"alasso-published": ({"a": "0.8"}, {"a": "1"})},
        PERMUTED,
        {"alasso-published": ({"a": "2"},)},
    ),
    Claim("Split CIFAR: ALASSO is 5.7 points above SI (5.3, Figure 8)", 0.057 - CLOSE, {"si": ({},)}, CIFAR),
    Claim(
        "Split CIFAR: SI is 13.9 points below single task (5.3)", 0.139 - CLOSE, {"si": ({},)}, CIFAR, {"single": ({},)}
    ),
    Claim("Split Tiny ImageNet: ALASSO is above single task (5.4, Figure 9)", 0, {"single": ({},)}, TINY),
    Claim(
        "Split Tiny ImageNet: ALASSO is about 10 points above SI (5.4)",
        0.1 - ROUGH,
        {"si": counted("split-tiny", "si")},
        TINY,
    ),
)
CONTROLS = (
    Claim(
        "The side helps, not only the strength: a surrogate that is as steep on both sides keeps less",
        0,
        {"alasso-published": ({"a": "1", "c": "1.8"},)},
        PERMUTED,
    ),
    Claim(
        "The paper's formulas, with negative values set to 0, keep as much as the authors' code",
        -CLOSE,
        PUBLISHED,
        PERMUTED,
        {"alasso-paper": ({},)},
    ),
)
"""What the paper does not say, and takes for granted."""


class Lead(NamedTuple):
    """What the records say of a claim at one place."""

    points: float
    """By how much `ours` is ahead of the best of the others, a share: the mean over the seeds that both have."""
    error: float
    """Its standard error; 0 where there are not two seeds."""
    seeds: int
    limits: tuple[float, float]
    """How low and how high it may be by chance, over whichever of the others."""
    rival: list[Run]
    missing: tuple[str, ...]
    """Others without a run of the same seed, which can only lower it."""

    def answer(self, claim: Claim) -> str:
        """`yes`, `no`, or, as long as chance or a method without a run may decide, `not settled`."""
        low, high = self.limits
        if claim.same:
            holds = -claim.needed < low and high < claim.needed
            fails = low > claim.needed or high < -claim.needed
        else:
            holds, fails = low > claim.needed, high < claim.needed
        return "no" if fails else "yes" if holds and not self.missing else "not settled"


def lead(claim: Claim, place: Place, folder: Path | None = None) -> Lead | None:
    """None where one of both sides has no run, or no seed that the other has."""
    ((one,),) = _at(place, claim.ours).values()
    leads, missing = evidence.leads(evidence.recorded(one, folder), _at(place, claim.others), folder)
    if not leads:
        return None
    rival, found = leads[0]
    limits = numbers.limits((values for _, values in leads), place.preset)
    return Lead(float(np.mean(found)), evidence.standard_error(found), len(found), limits, rival, missing)


def _at(place: Place, side: Side) -> dict[str, list[Experiment]]:
    return {
        name: [tuned(place.preset, name, {**one, **place.changes}) for one in settings]
        for name, settings in side.items()
    }


COLOURS = {"yes": "#009E73", "no": "#D55E00", "not settled": "#5f5f5f"}


def figure(folder: Path | None = None) -> Figure:
    """Where each claim of the paper would hold, shaded, and the leads that were measured, as far as chance goes.

    A filled dot is of the paper's own experiment; an arrowhead is a lead that a method without a run may yet shorten.
    """
    measured = []
    for claim in CLAIMS:
        if leads := [(place, found) for place in claim.places if (found := lead(claim, place, folder))]:
            measured.append((claim, leads))
    rows = len(measured) + sum(len(leads) for _, leads in measured)
    drawing, ax = plt.subplots(figsize=(6.0, 0.28 * rows + 1.1))
    heading = blended_transform_factory(drawing.transFigure, ax.transData)
    named, ends, row = {}, [0.0], 0
    for claim, leads in measured:
        label = ax.text(0.01, row, claim.says.replace("$", ""), transform=heading, fontsize="small", va="center")
        label.set_in_layout(False)
        label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0})  # the line at 0 stops there
        low, high = (-claim.needed, claim.needed) if claim.same else (claim.needed, 1)
        ax.barh(row + len(leads) / 2 + 0.25, high - low, len(leads), left=low, color="0.9", zorder=0)
        for place, found in leads:
            row += 1
            named[row] = place.words
            colour = COLOURS[found.answer(claim)]
            ax.plot(found.limits, [row, row], color=colour, linewidth=2.2)
            ends += found.limits
            face = colour if place == claim.places[0] else "white"
            ax.plot(found.points, row, "<" if found.missing else "o", color=colour, markerfacecolor=face)
        row += 1
    for answer, colour in COLOURS.items():
        ax.plot([], [], color=colour, linewidth=2.2, label=answer)
    ax.set(
        yticks=list(named),
        yticklabels=named.values(),
        ylim=(row - 0.4, -0.6),
        xlim=(min(ends) - 0.02, max(ends) + 0.02),
    )
    ax.tick_params("y", length=0, labelsize="small")
    ax.spines["left"].set_visible(False)
    ax.axvline(0, color="0.6", linewidth=1, zorder=0)
    ax.xaxis.set_major_formatter(lambda share, _: f"{100 * share:+g}".replace("-", "−") if share else "0")
    ax.set_xlabel("lead, in points of average accuracy at the end")
    ax.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    return drawing


def overview(folder: Path | None = None) -> str:
    """Markdown: two tables, of what the paper says and of what it takes for granted."""
    return f"{table('the paper says', CLAIMS, folder)}\n\n{table('the paper takes for granted', CONTROLS, folder)}"


def table(heading: str, claims: Iterable[Claim], folder: Path | None = None) -> str:
    """Markdown: each claim, the answer of the paper's own experiment, and that of any other."""
    rows = report.head(f"{heading} | its own experiment | elsewhere")
    for claim in claims:
        here, *elsewhere = (_said(claim, place, folder) for place in claim.places)
        rows.append(f"| {claim.says} | {here or 'not run'} | {'; '.join(filter(None, elsewhere)) or 'not run'} |")
    return "\n".join(rows)


def _said(claim: Claim, place: Place, folder: Path | None) -> str:
    """The answer at one place, and how far ahead, in points; empty without runs."""
    found = lead(claim, place, folder)
    if not found:
        return ""
    points = f"{100 * found.points:+z.1f}" + (f" ± {100 * found.error:.1f}" if found.seeds > 1 else "")
    over = f" over {report.name(found.rival[0])}" if sum(map(len, claim.others.values())) > 1 else ""
    seeds = f"{found.seeds} seed{'s' * (found.seeds > 1)}"
    most = "at most " * bool(found.missing)
    return f"**{found.answer(claim)}**, {most}{points}{over} ({place.words}, {seeds})"
