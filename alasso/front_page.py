"""What came out: the front page's figure, table and sentences, from the committed records."""

from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from alasso import evidence, numbers, plots, report, results, trials
from alasso.experiments import Experiment, experiment
from alasso.presets import ABLATIONS, BOUNDS, METHODS, PRESETS, SCALES
from alasso.results import Run
from alasso.search import TRIED, candidates

WEIGHED = ("pmnist30", SCALES["short"]["pmnist30"])
"""Where methods have run with several weights of the past: all epochs, and a quarter of them."""


class Weight(NamedTuple):
    """A weight of the past, c."""

    c: float | None
    others: tuple[str, ...]
    """What else is not the method's own, in words."""
    usual: bool
    """All of it is the method's own: the literature's, and for online EWC that of EWC."""

    def __str__(self) -> str:
        return "none" if self.c is None else ", ".join([f"{self.c:g}", *self.others])


def weights(folder: Path | None = None) -> dict[str, dict[Weight, list[list[Run]]]]:
    """By method, the best first, and by weight of the past: its runs, a list for each of WEIGHED."""
    groups = {}
    for name in METHODS:
        if name in BOUNDS:
            continue
        tried = [[experiment(preset, name, changes) for preset in WEIGHED] for changes in candidates(name)]
        by_weight = {_weight(pair[0]): [evidence.recorded(one, folder) for one in pair] for pair in tried}
        found = {weight: mine for weight, mine in sorted(by_weight.items()) if any(mine)}
        if found:
            groups[name] = found

    def best(name: str) -> list[float]:
        columns = zip(*groups[name].values(), strict=True)
        return [max((np.mean(evidence.kept(runs)) for runs in column if runs), default=0) for column in columns]

    return {name: groups[name] for name in sorted(groups, key=best, reverse=True)}


def _weight(chosen: Experiment) -> Weight:
    usual, own = vars(METHODS[chosen.method].surrogate), vars(chosen.surrogate)
    others = report.changed({name: value for name, value in own.items() if name != "c"}, usual)
    return Weight(own.get("c"), tuple(others), own == usual)


def table(folder: Path | None = None) -> str:
    """Markdown: what methods keep of thirty permuted tasks, by weight of the past and by epochs a task."""
    epochs = " | ".join(f"{PRESETS[preset].protocol.epochs} epochs a task, %" for preset in WEIGHED)
    rows = report.head(f"method | c, weight of the past | {epochs}")
    for name, found in weights(folder).items():
        for weight, mine in found.items():
            shares = " | ".join(report.percent(evidence.kept(runs)) if runs else "not run" for runs in mine)
            default = ", the default" * (weight.usual and weight.c is not None)
            rows.append(f"| {METHODS[name].label} | {weight}{default} | {shares} |")
    return "\n".join(rows)


def curves(folder: Path | None = None) -> tuple[dict[str, list[Run]], list[str]]:
    """What the figure shows: by name the runs of a curve, and which names are broken lines, as not the literature's."""
    groups, broken = {}, []
    for name, found in weights(folder).items():
        label = METHODS[name].short
        for weight, (mine, _) in found.items():
            curve = f"{label}, c = {weight}" if name in TRIED else label
            if mine and name not in ABLATIONS:
                groups[curve] = mine
                broken += [curve] * (not weight.usual)
    return groups, broken


def figure(folder: Path | None = None) -> Figure:
    """Average accuracy on the paper's thirty tasks, by method and weight of the past."""
    drawing, ax = plt.subplots(figsize=(6.0, 4.2))
    plots.average_accuracy_of(ax, *curves(folder))
    return drawing


def overview() -> str:
    """Markdown: the table by weight, and what it says."""
    folder = results.folder()
    return "\n".join([table(folder), "", *(f"- {sentence}" for sentence in _said_of_weights(folder))])


def _kept(runs: list[Run]) -> str:
    return f"{report.percent(evidence.kept(runs))} % ({len(runs)} seed{'s' * (len(runs) > 1)})"


def _said_of_weights(folder: Path) -> list[str]:
    at = numbers.table_1("pmnist30")
    full, short = (evidence.of_preset(preset, folder) for preset in WEIGHED)
    late, early = (trials.best_of(preset, "alasso-published", folder)[0].hyperparameters["c"] for preset in WEIGHED)
    pair = short["alasso-published"], evidence.recorded(experiment(WEIGHED[1], "si", {"c": "1"}), folder)
    others = [found for name, found in weights(folder).items() if not name.startswith("alasso")]
    rival = evidence.most_kept(mine for found in others for mine, _ in found.values())
    return [
        f"**With the literature's weights and twenty epochs.** {report.leader(full)} The paper has "
        f"{100 * at['1']:.0f} % at $a$ = 1 and {100 * at['2']:.0f} % at $a$ = 2; the authors' code has $a$ = "
        f"{full['alasso-published'][0].hyperparameters['a']:g}.",
        f"**Other weights may change the order.** ALASSO's best of those tried is {early:g} at five epochs and "
        f"{late:g} at twenty. At five, SI with $c$ = 1 keeps {report.points(evidence.mean_difference(*pair))} than "
        f"ALASSO with the same $c${report.sureness(*pair)}; at twenty, {report.name(rival[0])} keeps most of all "
        f"others, {_kept(rival)}. ALASSO's $a$ was found on this benchmark, by its authors; the others' weights come "
        "from shorter streams or other networks. Only a search at twenty epochs, the same for all, would settle it.",
    ]
