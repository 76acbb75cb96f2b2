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
from alasso.errors import BadInput
from alasso.networks import MLP, MeanFieldMLP, accuracy, loss_and_gradient, pixels, table_c, table_d
from alasso.presets import METHODS, Experiment
from alasso.protocol import Protocol
from alasso.results import Run
from alasso.surrogates import NoSurrogate
from alasso.tasks import batches, generator, permuted_stream, split_stream


def train_task(network, surrogate, state, theta, optimizer, task, protocol, seed, tick) -> tuple:
    """Train θ (P,), in place, on one task; returns the State and the task's mean loss over the last epoch."""
    images, labels = task.train()
    for epoch in range(protocol.epochs):
        total, noise = 0.0, generator(seed, "noise", task.index, epoch)
        for index in batches(len(labels), protocol.batch_size, seed, task.index, epoch, task.epoch_size):
            before = theta.clone()
            at, scale = surrogate.train_at(state, theta, network, noise)
            loss, g = loss_and_gradient(network, at, pixels(images[index]), labels[index], task.outputs, noise)
            g = scale * g
            theta.grad = g + surrogate.gradient(state, theta)
            optimizer.step()
            state = surrogate.observe(state, g, theta - before)
            total += loss.item() * len(index)
            tick(task.index, epoch, loss.item())
    return state, total / task.epoch_size


def train_stream(network, surrogate, stream, protocol, seed, device, tick) -> Iterator[tuple[list, float, float]]:
    """Train on one task after another; yields, for each, accuracies on all tasks so far, loss and seconds."""
    seen = []
    for task in stream:
        start = perf_counter()
        if task.index == 0 or protocol.fresh_network:
            theta = initial_theta(network, task, protocol, seed, device, tick)
            state = surrogate.init(theta, task)
        if task.index == 0 or protocol.fresh_network or protocol.reset_optimizer:
            optimizer = adam(theta, protocol)
        state, loss = train_task(network, surrogate, state, theta, optimizer, task, protocol, seed, tick)
        state = surrogate.consolidate(state, theta, network, task, generator(seed, "consolidate", task.index))
        evaluated = surrogate.evaluate_at(state, theta)
        tested = [task] if protocol.fresh_network else stream[: task.index + 1]
        kept = seen if protocol.fresh_network else []  # a network of its own does not forget
        seen = kept + [accuracy(network, evaluated, *old.test(), old.outputs) for old in tested]
        yield seen, loss, perf_counter() - start


def initial_theta(network, task, protocol, seed, device, tick) -> Tensor:
    """θ before a task; a network of distributions starts from a maximum-likelihood fit of its means to the task."""
    theta = network.point.init(generator(seed, "initialisation", task.index)).to(device)
    if network.point is not network:
        plain = NoSurrogate()
        train_task(
            network.point, plain, plain.init(theta, task), theta, adam(theta, protocol), task, protocol, seed, tick
        )
    return network.lift(theta)


def adam(theta: Tensor, protocol) -> torch.optim.Adam:
    """Adam with its moments at zero."""
    return torch.optim.Adam([theta], lr=protocol.learning_rate, betas=(0.9, 0.999))


def run(experiment: Experiment, seed: int, folder: Path, device: str = "cpu", progress: bool = True) -> Run:
    """The record of this experiment and seed: read from the folder if it is there, else trained and written to it.

    Raises BadInput, before anything is trained, for data that cannot be had or a folder that cannot be written.
    """
    path = experiment.path(folder, seed)
    if path.exists():
        return load(experiment, seed, folder)
    dataset = _on(device, datasets.load(experiment.protocol.dataset))
    started, protocol = _now(), experiment.protocol
    if protocol.classes_per_task:
        stream = split_stream(dataset, protocol.tasks, protocol.classes_per_task, seed)
    else:
        stream = permuted_stream(dataset, protocol.tasks, seed, protocol.permute_first, protocol.joint)
    network = build_network(protocol, dataset, METHODS[experiment.method].mean_field)
    results.check_writable(path.parent)
    with _progress_bar(protocol, stream, network, progress) as tick:
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


def build_network(protocol: Protocol, dataset: datasets.Dataset, mean_field: bool = False):
    """The network of a protocol, one output for each class of each task. Raises BadInput for grey images in a CNN."""
    if protocol.network != "mlp" and dataset.train_images.shape[1] != 3:
        raise BadInput(f"network={protocol.network}: it takes colour images, which {dataset.name} does not have")
    outputs = protocol.tasks * protocol.classes_per_task or len(dataset.classes)
    sizes = (dataset.train_images[0].numel(), *protocol.hidden, outputs)
    match protocol.network:
        case "mlp":
            return MeanFieldMLP(sizes) if mean_field else MLP(sizes, protocol.dropout)
        case "table-c":
            return table_c(outputs)
        case "table-d":
            return table_d(outputs, protocol.image_side)


def load(experiment: Experiment, seed: int, folder: Path) -> Run:
    """The record of a finished run. Raises BadInput if it is torn or was made with other settings."""
    path = experiment.path(folder, seed)
    record = results.load(path)
    experiment.check(record, path)
    return record


@contextmanager
def _progress_bar(protocol: Protocol, stream, network, show: bool) -> Iterator[Callable[[int, int, float], None]]:
    steps = sum(ceil(task.epoch_size / protocol.batch_size) for task in stream) * protocol.epochs
    if network.point is not network:
        steps += ceil(stream[0].epoch_size / protocol.batch_size) * protocol.epochs  # the maximum-likelihood start
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
