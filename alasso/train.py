"""The reference loop: what every method here does, readable on one screen."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor
from tqdm import tqdm

from alasso import datasets, results
from alasso.networks import MLP, accuracy, loss_and_gradient, pixels
from alasso.presets import Experiment, Protocol
from alasso.results import Run
from alasso.tasks import batches, generator, permuted_stream


def train_task(network, surrogate, state, theta, optimizer, task, protocol, seed, tick) -> tuple:
    """Train θ (P,), in place, on one task; returns the State and the task's mean loss over the last epoch."""
    images, labels = task.train()
    for epoch in range(protocol.epochs):
        total = 0.0
        for index in batches(len(labels), protocol.batch_size, seed, task.index, epoch):
            before = theta.clone()
            loss, g = loss_and_gradient(network, theta, pixels(images[index]), labels[index])
            theta.grad = g + surrogate.gradient(state, theta)
            optimizer.step()
            state = surrogate.observe(state, g, theta - before)
            total += loss.item() * len(index)
            tick(task.index, epoch, loss.item())
    return state, total / len(labels)


def train_stream(network, surrogate, stream, protocol, seed, device, tick) -> Iterator[tuple[list, float, float]]:
    """Train on one task after another; yields, for each, accuracies on all tasks so far, loss and seconds."""
    theta = network.init(generator(seed, "initialisation")).to(device)
    state = surrogate.init(theta)
    optimizer = None
    for task in stream:
        start = perf_counter()
        if optimizer is None or protocol.reset_optimizer:
            optimizer = torch.optim.Adam([theta], lr=protocol.learning_rate, betas=(0.9, 0.999))
        state, loss = train_task(network, surrogate, state, theta, optimizer, task, protocol, seed, tick)
        state = surrogate.consolidate(state, theta, network, task)
        evaluated = surrogate.evaluate_at(state, theta)
        seen = [accuracy(network, evaluated, *old.test()) for old in stream[: task.index + 1]]
        yield seen, loss, perf_counter() - start


def run(experiment: Experiment, seed: int, folder: Path, device: str = "cpu", progress: bool = True) -> Run:
    """The record of this experiment and seed: read from the folder if it is there, else trained and written to it.

    Raises BadInput, before anything is trained, for data that cannot be had or a folder that cannot be written.
    """
    path = experiment.path(folder, seed)
    if path.exists():
        return results.load(path)
    dataset = _on(device, datasets.load(experiment.protocol.dataset))
    results.check_writable(path.parent)
    started, protocol = _now(), experiment.protocol
    stream = permuted_stream(dataset, protocol.tasks, seed, protocol.permute_first)
    network = MLP((dataset.train_images[0].numel(), *protocol.hidden, len(dataset.classes)))
    with _progress_bar(protocol, len(dataset.train_labels), progress) as tick:
        tasks = list(train_stream(network, experiment.surrogate, stream, protocol, seed, device, tick))
    record = Run(
        schema=results.SCHEMA,
        preset=experiment.preset,
        method=experiment.method,
        seed=seed,
        command=experiment.command(seed),
        protocol=asdict(protocol),
        hyperparameters=asdict(experiment.surrogate),
        accuracy=[seen + [None] * (len(tasks) - len(seen)) for seen, _, _ in tasks],
        loss=[loss for _, loss, _ in tasks],
        seconds=[round(seconds, 3) for _, _, seconds in tasks],
        parameters=network.size,
        dataset_sha256=dataset.sha256,
        device=device,
        precision="float32",
        threads=torch.get_num_threads(),
        **results.provenance(),
        started=started,
        finished=_now(),
    )
    results.save(record, path)
    return results.load(path)


@contextmanager
def _progress_bar(protocol: Protocol, images: int, show: bool) -> Iterator[Callable[[int, int, float], None]]:
    steps = protocol.tasks * protocol.epochs * ceil(images / protocol.batch_size)
    with tqdm(total=steps, unit="step", disable=not show) as bar:

        def tick(task: int, epoch: int, loss: float) -> None:
            bar.set_description(f"task {task + 1}/{protocol.tasks} epoch {epoch + 1}/{protocol.epochs}", refresh=False)
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update()

        yield tick


def _on(device: str, dataset: datasets.Dataset) -> datasets.Dataset:
    names = ("train_images", "train_labels", "test_images", "test_labels")
    tensors: dict[str, Tensor] = {name: getattr(dataset, name).to(device) for name in names}
    return replace(dataset, **tensors)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
