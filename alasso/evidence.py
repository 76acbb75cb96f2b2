"""Which runs an experiment has, and what they keep: accuracies as shares, seed by seed. Nothing here trains."""

from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path

import numpy as np

from alasso import metrics, results
from alasso.experiments import Experiment
from alasso.presets import ABLATIONS, BOUNDS, METHODS
from alasso.results import Run
from alasso.search import tuned


def recorded(chosen: Experiment, folder: Path | None = None) -> list[Run]:
    """Every run of the experiment that has a record in the folder (default: the project's results/), seed by seed.

    Raises BadInput for a record that is torn or was made with other settings.
    """
    folder = folder or results.folder()
    found = [path.stem.rpartition("-s")[2] for path in (folder / chosen.preset).glob(chosen.path(folder, "*").name)]
    return [chosen.load(folder, seed) for seed in sorted(int(seed) for seed in found if seed.isdecimal())]


def of_preset(preset: str, folder: Path | None = None) -> dict[str, list[Run]]:
    """The runs of every method that has a record at this preset, under its own settings or those of its search.

    Raises BadInput as `recorded` does.
    """
    folder = folder or results.folder()
    # From the files, as not every method can be combined with every preset.
    present = {path.name.rpartition("-s")[0].rpartition("-")[0] for path in (folder / preset).glob("*.json")}
    runs = {name: recorded(tuned(preset, name), folder) for name in METHODS if name in present}
    return {name: mine for name, mine in runs.items() if mine}


def kept(runs: list[Run]) -> list[float]:
    """Average accuracy on all tasks at the end, a run."""
    return [metrics.final_accuracy(run.matrix) for run in runs]


def learned(runs: list[Run]) -> list[float]:
    """Accuracy on a task right after its training, averaged over tasks, a run."""
    return [metrics.learning_accuracy(run.matrix) for run in runs]


def forgotten(runs: list[Run]) -> list[float]:
    """How far tasks have fallen below their best, averaged over all but the last, a run."""
    return [metrics.forgetting(run.matrix) for run in runs]


def most_kept(groups: Iterable[list[Run]]) -> list[Run]:
    """Of groups of runs, a method with one setting each, that which keeps most on average; empty without any run."""
    return max(filter(None, groups), key=lambda mine: np.mean(kept(mine)), default=[])


def leads(
    ours: list[Run], others: Mapping[str, Iterable[Experiment]], folder: Path | None = None
) -> tuple[list[tuple[list[Run], list[float]]], tuple[str, ...]]:
    """How much more `ours` keep than each of others, by method: its runs, and a lead for each seed that both have.

    The smallest on average comes first. Also returns the labels of the methods that share no seed with `ours`.
    """
    found = {
        name: [(runs, differences(runs, ours)) for runs in (recorded(one, folder) for one in made)]
        for name, made in others.items()
    }
    shared = {name: [pair for pair in pairs if pair[1]] for name, pairs in found.items()}
    missing = tuple(METHODS[name].label for name, pairs in shared.items() if not pairs)
    return sorted(chain(*shared.values()), key=lambda pair: np.mean(pair[1])), missing


def ranked(runs: dict[str, list[Run]]) -> list[str]:
    """Methods that keep no old data, that which keeps most first; a method without one of its parts is none."""
    names = [name for name in runs if name not in (*BOUNDS, *ABLATIONS)]
    return sorted(names, key=lambda name: -np.mean(kept(runs[name])))


def differences(usual: list[Run], changed: list[Run]) -> list[float]:
    """How much more of what was learned is kept, for each seed that both have."""
    # Two runs of a seed see the same tasks, which differ in how hard they are.
    before = {run.seed: value for run, value in zip(usual, kept(usual), strict=True)}
    return [value - before[run.seed] for run, value in zip(changed, kept(changed), strict=True) if run.seed in before]


def mean_difference(usual: list[Run], changed: list[Run]) -> float:
    """How much more of what was learned is kept on average: over the seeds that both have, or over all if none."""
    found = differences(usual, changed)
    return float(np.mean(found) if found else np.mean(kept(changed)) - np.mean(kept(usual)))


def standard_error(values: list[float]) -> float:
    """Of the mean over seeds; 0, for want of knowledge, where there are not two."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
