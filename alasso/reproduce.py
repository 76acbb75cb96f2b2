"""From experiments to their runs: load what is there, compute what is missing, several at a time."""

import multiprocessing
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import torch
from tqdm import tqdm

from alasso import datasets, results, run
from alasso.presets import Experiment
from alasso.results import Run


def runs(experiments: Iterable[Experiment], seeds: Iterable[int], folder: Path) -> list[Run]:
    """The record of every experiment with every seed, experiment by experiment; missing ones are computed first.

    One process a core, and one thread a process: runs are independent, and threads that wait for each other are not.
    """
    wanted = [(experiment, seed) for experiment in experiments for seed in seeds]
    missing = [(experiment, seed) for experiment, seed in wanted if not experiment.path(folder, seed).exists()]
    if missing:
        for name in {experiment.protocol.dataset for experiment, _ in missing}:
            datasets.load(name)  # here first: one clear error, and one download, rather than one a process
        results.check_writable(folder)
        workers = min(os.cpu_count() or 1, len(missing))
        spawn = multiprocessing.get_context("spawn")  # PyTorch's threads do not survive a fork
        with ProcessPoolExecutor(workers, spawn, torch.set_num_threads, (1,)) as pool:
            done = pool.map(_train, *zip(*missing, strict=True), repeat(folder))
            list(tqdm(done, total=len(missing), desc=f"training, {workers} at a time", unit="run"))
    return [run.load(experiment, seed, folder) for experiment, seed in wanted]


def _train(experiment: Experiment, seed: int, folder: Path) -> None:
    run.run(experiment, seed, folder, progress=False)
