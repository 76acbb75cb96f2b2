"""What a figure or table still needs: which runs, in which order, and how long they will take."""

import heapq
from collections.abc import Iterable, Sequence
from math import isclose
from pathlib import Path
from typing import NamedTuple

from alasso import datasets, results
from alasso.errors import BadInput, check_name
from alasso.experiments import Experiment
from alasso.networks import MeanFieldMLP
from alasso.presets import METHODS, SCALES
from alasso.protocol import Protocol
from alasso.results import Run
from alasso.targets import TARGETS
from alasso.tasks import HELD_OUT

MOST_USEFUL = ("alasso-published", "si", "none", "single", "multi")  # the claim, its rival, and the bounds
TEST = 0.05
"""What a test on one task costs, in epochs of training on it, about: fewer images, and one pass of three."""
MEAN_FIELD_TEST = TEST * MeanFieldMLP.samples / 2
"""The same with a mean field: one pass for each network drawn, with half the products of a pass in training."""


class Job(NamedTuple):
    """One run that somebody wants."""

    experiment: Experiment
    seed: int

    @property
    def command(self) -> str:
        return self.experiment.command(self.seed)

    def path(self, folder: Path) -> Path:
        return self.experiment.path(folder, self.seed)


class Estimate(NamedTuple):
    """How long a run takes, and the record that says so."""

    core_seconds: float
    basis: str


def chosen(names: Iterable[str], scale: str) -> list[str]:
    """The targets of these names, each once; `all` are those that have the scale, without searches.

    Raises BadInput for a scale or a name that is unknown.
    """
    check_name(f"scale {scale!r}", scale, SCALES)
    names = list(dict.fromkeys(names))
    for name in names:
        check_name(f"target {name!r}", name, [*TARGETS, "all"])
    if "all" not in names:
        return names
    every = [name for name, target in TARGETS.items() if target.preset in SCALES[scale] and not target.search]
    return list(dict.fromkeys([*every, *(name for name in names if name != "all")]))


def jobs(targets: Iterable[str], scale: str, seeds: Iterable[int]) -> list[Job]:
    """Every run of these targets once, the most useful first.

    A seed is finished before the next one starts; within it, settings as they are come before changed ones, and the
    methods of MOST_USEFUL before the others. Raises BadInput for a scale that a target does not have.
    """
    seeds = list(seeds)
    wanted = (
        Job(experiment, TARGETS[name].first_seed + seed)
        for name in targets
        for experiment in TARGETS[name].experiments(scale)
        for seed in seeds
    )
    return sorted(dict.fromkeys(wanted), key=_usefulness)


def missing(wanted: Iterable[Job], folder: Path) -> list[Job]:
    """Those that have no record in the folder."""
    return [job for job in wanted if not job.path(folder).exists()]


class Costs:
    """Estimates from records: time is proportional to epochs (`_epochs`) and to the work of one, within one network.

    Times are core-seconds, those of a record times its threads: one run has one thread, and as many run as there are
    cores. Of the records nearest in work, those of the fast loop count before any other; methods differ little beside
    these. The quickest of them tells, as the others had a machine that did something else besides.
    """

    def __init__(self, *folders: Path):
        self.records: list[tuple[str, Run, Protocol]] = []
        for path in sorted({path.resolve() for folder in folders for path in Path(folder).glob("*/*-s*.json")}):
            try:
                run = results.load(path)
                protocol = Protocol(**{name: _frozen(value) for name, value in run.protocol.items()})
            except (BadInput, TypeError):
                continue  # `alasso collect --check` says what is wrong with it
            if run.device == "cpu":
                self.records.append((f"{path.parent.name}/{path.name}", run, protocol))

    def of(self, experiment: Experiment) -> Estimate | None:
        """What one seed takes; None if no run with such a network has been measured."""
        wanted = experiment.protocol
        similar = [known for known in self.records if known[2].network == wanted.network]
        if not similar:
            return None

        def ratio(known: tuple[str, Run, Protocol]) -> float:
            _, run, protocol = known
            return _work(experiment.method, wanted) / _work(run.method, protocol)

        def distance(known: tuple[str, Run, Protocol]) -> float:
            return max(ratio(known), 1 / ratio(known))

        nearest = min(map(distance, similar))
        chosen = min(
            (known for known in similar if isclose(distance(known), nearest)),
            key=lambda known: (known[1].loop == "reference", _of_an_epoch(*known[1:])),
        )
        (name, run, protocol), scale = chosen, ratio(chosen)
        epoch = _of_an_epoch(run, protocol)
        basis = f"{name}: {epoch:.3g} core-seconds an epoch"
        if not isclose(scale, 1):
            basis += f", × {scale:.3g} for its work"
        if run.method != experiment.method:
            basis += f", from a run of {METHODS[run.method].label if run.method in METHODS else run.method}"
        return Estimate(epoch * scale * _epochs(experiment.method, wanted), basis)


def _of_an_epoch(run: Run, protocol: Protocol) -> float:
    """Core-seconds."""
    return run.core_seconds / _epochs(run.method, protocol)


def _epochs(method: str, protocol: Protocol) -> float:
    """Of a run. The tests of all tasks so far, after every task, count as the part of one that they cost."""
    tests = protocol.tasks if protocol.fresh_network else protocol.tasks * (protocol.tasks + 1) / 2
    return protocol.tasks * protocol.epochs + (MEAN_FIELD_TEST if _mean_field(method) else TEST) * tests


def _mean_field(method: str) -> bool:
    return method in METHODS and METHODS[method].mean_field


def wall_seconds(core_seconds: Sequence[float], cores: int) -> float:
    """When the last of these runs ends if each takes one core, in this order, as soon as one is free."""
    free = [0.0] * cores
    for seconds in core_seconds:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def duration(seconds: float) -> str:
    """A time as a person says it."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.{1 if seconds < 10 * size else 0}f} {unit}"
    return f"{seconds:.0f} s"


def _usefulness(job: Job) -> tuple:
    method = job.experiment.method
    rank = MOST_USEFUL.index(method) if method in MOST_USEFUL else len(MOST_USEFUL)
    return job.seed, bool(job.experiment.changes), rank


def _work(method: str, protocol: Protocol) -> float:
    """Multiplications in an epoch, up to a factor that is the same for all protocols with this kind of network."""
    size = datasets.SIZES[protocol.dataset]
    images = size.train * (protocol.classes_per_task or size.classes)
    images *= 1 - 1 / HELD_OUT if protocol.validation else 1
    match protocol.network:
        case "mlp":  # a mean field multiplies by a mean and by a variance for each weight
            return images * protocol.mlp_weights * (2 if _mean_field(method) else 1)
        case "table-c":
            return images
        case "table-d":
            return images * protocol.image_side**2


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
