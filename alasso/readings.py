"""What the paper's text reads off its figures, besides numbers, held against the records. Nothing here trains."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from alasso import evidence, metrics, report
from alasso.claims import CIFAR, EVERY_OTHER, PERMUTED, Place, Side
from alasso.numbers import CLOSE
from alasso.results import Run
from alasso.search import tuned

NOTICED = 0.01
"""By which part of itself a measure must be smaller to count as smaller."""


def final_spread(run: Run) -> float:
    """Standard deviation over the tasks at the end, in points (Figures 6 and K)."""
    return 100 * metrics.spread(run.matrix)[-1]


def forgetting(run: Run) -> float:
    """How far tasks have fallen below their best, in points (Figure 4)."""
    return 100 * metrics.forgetting(run.matrix)


def last_loss(run: Run) -> float:
    """Training loss in the last epoch of a task, averaged over the tasks (Figure 7)."""
    return float(np.mean(run.loss))


@dataclass(frozen=True)
class Reading:
    """ALASSO, *published*, has less of something than any of the others."""

    says: str
    """The paper, in words, with its place there."""
    what: str
    """The measure, in words and with its unit."""
    measure: Callable[[Run], float]
    digits: int
    """Decimals that are shown."""
    others: Side

    def spelled(self, runs: list[Run]) -> str:
        """Mean, and sample standard deviation if there are several seeds."""
        values = [self.measure(run) for run in runs]
        deviation = f" ± {np.std(values, ddof=1):.{self.digits}f}" if len(values) > 1 else ""
        return f"{np.mean(values):.{self.digits}f}{deviation}"


READINGS = (
    Reading(
        "SI forgets more, by a large margin (Figure 4)", "forgetting, points", forgetting, 1, {"si": EVERY_OTHER["si"]}
    ),
    Reading(
        "Tasks vary less than with all other methods (5.2, Figures 6, K)",
        "standard deviation over tasks, points",
        final_spread,
        1,
        EVERY_OTHER,
    ),
    Reading(
        "Decoupling helps the models to converge fast (5.2, Figure 7)",
        "loss in the last epoch of a task",
        last_loss,
        4,
        {"alasso-coupled": ({},)},
    ),
)

Found = tuple[str, list[list[Run]]]
"""A cell of the table, and the runs behind it."""


def table(folder: Path | None = None) -> str:
    """Markdown: what the paper reads off a figure, and what the records say of it; folded, the commands."""
    rows, behind = report.head("the paper | measured | in its own experiment | elsewhere"), []
    for reading in READINGS:
        cells, runs = zip(*(_less(reading, place, folder) for place in PERMUTED), strict=True)
        rows.append(f"| {reading.says} | {reading.what} | {cells[0]} | {'; '.join(filter(None, cells[1:]))} |")
        behind += chain(*runs)
    for says, what, found in (
        (
            "ALASSO recovers 41 % of what SI loses against single task (5.3, Figure 8)",
            "share of what SI loses",
            _recovered,
        ),
        (
            "In some tasks ALASSO is level with single task (5.3, which says so of multi task, too)",
            "tasks that end within a point of single task or above",
            _level,
        ),
    ):
        cells, runs = zip(*(found(place, folder) for place in CIFAR), strict=True)
        rows.append(f"| {says} | {what} | {cells[0]} | {'; '.join(filter(None, cells[1:]))} |")
        behind += chain(*runs)
    commands = {f"{report.name(runs[0])}, `{runs[0].preset}`": runs for runs in behind}
    return "\n".join([*rows, report.commands(commands.items())])


def _less(reading: Reading, place: Place, folder: Path | None) -> Found:
    """Against that of the others which has least. `not seen` if it has as little; else `open` while one is missing."""
    tried = {
        name: [evidence.recorded(tuned(place.preset, name, one), folder) for one in settings]
        for name, settings in reading.others.items()
    }
    ours = evidence.recorded(tuned(place.preset, "alasso-published"), folder)
    others = min(filter(None, chain(*tried.values())), key=lambda runs: _mean(reading, runs), default=[])
    if not (ours and others):
        return "not run" * (place == PERMUTED[0]), []
    less = _mean(reading, ours) < (1 - NOTICED) * _mean(reading, others)
    verdict = "not seen" if not less else "seen" if all(map(any, tried.values())) else "open"
    against = f"{reading.spelled(others)} of {report.name(others[0])}"
    return f"**{verdict}**, {reading.spelled(ours)} against {against} ({place.words})", [ours, others]


def _mean(reading: Reading, runs: list[Run]) -> float:
    return float(np.mean([reading.measure(run) for run in runs]))


def _recovered(place: Place, folder: Path | None) -> Found:
    """Of what SI loses against single task, how much ALASSO does not; over the seeds that they share."""
    found = _runs(place, folder, "alasso-published", "si", "single")
    shared = set.intersection(*({run.seed for run in runs} for runs in found))
    ours, si, single = runs = [[run for run in runs if run.seed in shared] for runs in found]
    if not shared:
        return "not run" * (place == CIFAR[0]), []
    lost = evidence.mean_difference(si, single)
    if lost <= 0:
        return f"**not seen**, SI loses nothing ({place.words})", runs
    share = evidence.mean_difference(si, ours) / lost
    return f"**{'seen' if share > 0 else 'not seen'}**, {100 * share:.0f} % ({place.words})", runs


def _level(place: Place, folder: Path | None) -> Found:
    """On how many tasks ALASSO ends level with single task, or above, on average over seeds."""
    runs = _runs(place, folder, "alasso-published", "single")
    if not all(runs):
        return "not run" * (place == CIFAR[0]), []
    ours, single = (np.mean([run.matrix[-1] for run in mine], axis=0) for mine in runs)
    level = ours >= single - CLOSE
    return f"**{'seen' if level.any() else 'not seen'}**, {level.sum()} of {len(level)} ({place.words})", runs


def _runs(place: Place, folder: Path | None, *names: str) -> list[list[Run]]:
    return [evidence.recorded(tuned(place.preset, name, place.changes), folder) for name in names]
