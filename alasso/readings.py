"""What the paper's text reads off its figures, besides numbers, held against the records. Nothing here trains."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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
        return report.plus_minus([self.measure(run) for run in runs], self.digits)


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
    listed = [(reading.says, reading.what, partial(_less, reading), PERMUTED) for reading in READINGS] + [
        (
            "ALASSO recovers 41 % of what SI loses against single task (5.3, Figure 8)",
            "share of what SI loses",
            _recovered,
            CIFAR,
        ),
        (
            "In some tasks ALASSO is level with single task (5.3, which says so of multi task, too)",
            "tasks that end within a point of single task or above",
            _level,
            CIFAR,
        ),
    ]
    rows, behind = report.head("the paper | measured | in its own experiment | elsewhere"), {}
    for says, what, found, places in listed:
        cells, runs = zip(*(found(place, folder) for place in places), strict=True)
        rows.append(f"| {says} | {what} | {cells[0]} | {'; '.join(filter(None, cells[1:]))} |")
        behind |= {mine[0].command: mine for mine in chain(*runs)}
    commands = [
        (f"{report.name(mine[0])}, `{mine[0].preset}`, {mine[0].protocol['epochs']} epochs", mine)
        for mine in behind.values()
    ]
    return "\n".join([*rows, report.commands(commands)])


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
    ours, si, single = runs = _shared(place, folder, "alasso-published", "si", "single")
    if not ours:
        return "not run" * (place == CIFAR[0]), []
    lost = evidence.mean_difference(si, single)
    if lost <= 0:
        return f"**not seen**, SI loses nothing ({place.words})", runs
    share = evidence.mean_difference(si, ours) / lost
    return f"**{'seen' if share > 0 else 'not seen'}**, {100 * share:.0f} % ({place.words})", runs


def _level(place: Place, folder: Path | None) -> Found:
    """On how many tasks ALASSO ends level with single task, or above; each seed has tasks of its own."""
    ours, single = runs = _shared(place, folder, "alasso-published", "single")
    if not ours:
        return "not run" * (place == CIFAR[0]), []
    pairs = zip(ours, single, strict=True)
    level = np.concatenate([mine.matrix[-1] >= alone.matrix[-1] - CLOSE for mine, alone in pairs])
    return f"**{'seen' if level.any() else 'not seen'}**, {level.sum()} of {len(level)} ({place.words})", runs


def _shared(place: Place, folder: Path | None, *names: str) -> list[list[Run]]:
    """Of each method the runs whose seeds all of them have: on a split stream another seed has other tasks."""
    found = [evidence.recorded(tuned(place.preset, name, place.changes), folder) for name in names]
    seeds = set.intersection(*({run.seed for run in runs} for runs in found))
    return [[run for run in runs if run.seed in seeds] for runs in found]
