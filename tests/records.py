"""Records made up for a purpose."""

from dataclasses import asdict

from alasso import results
from alasso.experiments import Experiment
from alasso.results import Run


def stretched(accuracy: list, tasks: int) -> list:
    """This matrix for more tasks, each of its own standing for as many: a record as long as its protocol has it."""
    each = tasks // len(accuracy)
    return [[accuracy[n // each][k // each] if k <= n else None for k in range(tasks)] for n in range(tasks)]


def made_up(experiment: Experiment, seed: int, accuracy: list) -> Run:
    """The record of a run that ended with this accuracy matrix."""
    return Run(
        schema=results.SCHEMA,
        preset=experiment.preset,
        method=experiment.method,
        seed=seed,
        command=experiment.command(seed),
        protocol=asdict(experiment.protocol),
        hyperparameters=asdict(experiment.surrogate),
        accuracy=accuracy,
        loss=[0.1] * len(accuracy),
        seconds=[1.0] * len(accuracy),
        parameters=1,
        dataset_sha256="0" * 64,
        device="cpu",
        precision="float32",
        threads=1,
        versions={"torch": "2"},
        commit="0" * 40,
        dirty=False,
        started="",
        finished="",
    )
