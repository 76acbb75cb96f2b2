"""The loss of the first task along single parameters of the network trained on it, exactly: the paper's Figure 2.

In a dense network a parameter reaches one unit. The loss at θ + t eₖ then needs no forward pass, only what follows from
that unit, and only for the images on which the unit changes. All is computed in float64, as a sum of each image's
change, so that rises far below the loss itself are still right.

    python -m alasso.landscape pmnist30 0      writes results/landscape/pmnist30/s0.json
"""

import json
import sys
from dataclasses import dataclass, fields
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from alasso import datasets, results
from alasso.errors import BadInput
from alasso.experiments import experiment
from alasso.networks import MLP, loss_and_gradient, pixels
from alasso.protocol import LARGEST_SEED, Protocol, whole_number
from alasso.run import build_network
from alasso.surrogates import SI
from alasso.tasks import PermutedTask, generator, permuted_stream
from alasso.train import Learner, Place, initial_theta, train_task

BATCH = 5000
COLUMNS = ("displacement", "path_integral", "slope", "observed", "unobserved")  # of a sample, besides its layer


class Epoch(NamedTuple):
    """Where training stands after an epoch of the first task."""

    loss: float  # L, over all its images
    path_integral: float  # Σ ω
    squared_displacement: float  # mean of (θ − θ̂⁰)² over the parameters


def _protocol(preset: str) -> Protocol:
    protocol = experiment(preset, "none").protocol
    if protocol.network != "mlp":
        raise BadInput(f"preset={preset}: must be one of permuted pixels, whose network is dense, such as pmnist-demo")
    return protocol


@dataclass(frozen=True)
class FirstTask:
    """A network before and after its first task. θ̂⁰, θ̂¹ and ω¹ are (P,)."""

    network: MLP
    task: PermutedTask
    previous: Tensor
    theta: Tensor
    path_integral: Tensor
    epochs: list[Epoch]


def first_task(preset: str, seed: int) -> FirstTask:
    """Plain training on the first task of a permuted stream, with ω¹ observed: `alasso run PRESET none --reference`.

    Raises BadInput for a preset that does not exist or has another stream.
    """
    protocol = _protocol(preset)
    dataset = datasets.load(protocol.dataset)
    (task,) = permuted_stream(dataset, 1, seed, protocol.permute_first)
    network = build_network(protocol, dataset)
    theta = initial_theta(network, task, protocol, seed, "cpu", Learner)
    learner = Learner(network, SI(c=0), theta, task, protocol)  # weightless: plain training that keeps ω
    steps, epochs = -(-task.epoch_size // protocol.batch_size), []

    def watch(place: Place, learner: Learner, _loss: float) -> None:
        if place.step == steps:
            (loss,) = losses(network, task, [learner.theta])
            moved = (learner.theta - learner.state.anchor).double()
            epochs.append(Epoch(loss, learner.state.path_integral.double().sum().item(), moved.square().mean().item()))

    train_task(learner, task, protocol, seed, Place(), watch)
    return FirstTask(network, task, learner.state.anchor, learner.theta.detach(), learner.state.path_integral, epochs)


@torch.no_grad()
def rises(network: MLP, theta: Tensor, images: Tensor, labels: Tensor, index: Tensor, offsets: Tensor) -> Tensor:
    """L(θ + t eₖ) − L(θ), (K, S) float64, for the K parameters of `index`, each at S `offsets` t, (K, S).

    L is the mean cross-entropy on uint8 images (N, inputs) with labels (N,).
    """
    theta, offsets = theta.double(), offsets.double()
    layers, places = network.layers(theta), [_place(network, k) for k in index.tolist()]
    total = torch.zeros_like(offsets)
    for x, y in zip(images.split(BATCH), labels.split(BATCH), strict=True):
        entered, sums = [pixels(x).double()], []
        for weight, bias in layers:
            sums.append(F.linear(entered[-1], weight, bias))
            entered.append(sums[-1].relu())
        usual = F.cross_entropy(sums[-1], y, reduction="none")
        for row, (layer, unit, source) in enumerate(places):
            signal = torch.ones_like(usual) if source is None else entered[layer][:, source]
            for column, offset in enumerate(offsets[row]):
                hit, logits = _after_push(layers, sums, layer, unit, offset * signal)
                total[row, column] += (F.cross_entropy(logits, y[hit], reduction="none") - usual[hit]).sum()
    return total / len(labels)


def _after_push(layers, sums, layer: int, unit: int, push: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of the images on which `push` (N,), added to what goes into one unit, changes anything; and which."""
    if layer == len(layers) - 1:
        hit = push.nonzero().squeeze(1)
        logits = sums[-1][hit]
        logits[:, unit] += push[hit]
        return hit, logits
    before = sums[layer][:, unit]
    change = (before + push).relu() - before.relu()
    hit = change.nonzero().squeeze(1)
    sums_after = sums[layer + 1][hit] + change[hit, None] * layers[layer + 1][0][:, unit]
    for weight, bias in layers[layer + 2 :]:
        sums_after = F.linear(sums_after.relu(), weight, bias)
    return hit, sums_after


@torch.no_grad()
def losses(network: MLP, task: PermutedTask, thetas: list[Tensor]) -> list[float]:
    """L of a task at each of these parameters, (P,) each: the mean over its training images."""
    images, labels = task.train()
    totals = [0.0] * len(thetas)
    for x, y in zip(images.split(BATCH), labels.split(BATCH), strict=True):
        for n, theta in enumerate(thetas):
            totals[n] += F.cross_entropy(network.logits(theta, pixels(x)), y, reduction="sum").item()
    return [total / len(labels) for total in totals]


def layer_bounds(network: MLP) -> list[tuple[int, int]]:
    """First and last + 1 entry of θ of each layer, its bias included."""
    ends = list(accumulate(network.layer_sizes, initial=0))[::2]
    return list(pairwise(ends))


def _place(network: MLP, k: int) -> tuple[int, int, int | None]:
    """Layer, unit and input that parameter k joins; None for the input of a bias."""
    layer = next(n for n, (start, end) in enumerate(layer_bounds(network)) if start <= k < end)
    outputs, inputs = network.shapes[layer]
    within = k - layer_bounds(network)[layer][0]
    return (layer, *divmod(within, inputs)) if within < outputs * inputs else (layer, within - outputs * inputs, None)


@dataclass(frozen=True)
class Sample:
    """What single parameters do to the loss of the first task. Each column is (K,) float64, a parameter an entry."""

    layer: np.ndarray  # 0, 1, …
    displacement: np.ndarray  # δ = θ̂¹ − θ̂⁰
    path_integral: np.ndarray  # ω¹
    slope: np.ndarray  # ∂L/∂θₖ at θ̂¹, which training left over
    observed: np.ndarray  # L(θ̂¹ − δ eₖ) − L(θ̂¹): this parameter alone back where it started
    unobserved: np.ndarray  # L(θ̂¹ + δ eₖ) − L(θ̂¹): as far again beyond

    @property
    def bends(self) -> np.ndarray:
        """Both rises without what the slope explains, (2, K): the observed side, the unobserved one."""
        tilt = self.slope * self.displacement
        return np.stack([self.observed + tilt, self.unobserved - tilt])


def sample(first: FirstTask, per_layer: int, seed: int) -> Sample:
    """Measure so many parameters of each layer, drawn at random from those that training moved."""
    images, labels = first.task.train()
    displacement = first.theta.double() - first.previous.double()
    parts = []
    for layer, (start, end) in enumerate(layer_bounds(first.network)):
        moved = start + displacement[start:end].nonzero().squeeze(1)
        drawn = torch.randperm(len(moved), generator=generator(seed, "landscape", layer))[:per_layer]
        parts.append(moved[drawn].sort().values)
    index = torch.cat(parts)
    delta = displacement[index]
    both = rises(first.network, first.theta, images, labels, index, torch.stack([-delta, delta], 1))
    columns = (delta, first.path_integral[index], slope(first)[index], *both.T)
    layers = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return Sample(layers, *(column.double().numpy() for column in columns))


def slope(first: FirstTask) -> Tensor:
    """∂L/∂θ of the first task's loss at θ̂¹, (P,) float64: zero if training had converged."""
    images, labels = first.task.train()
    total = torch.zeros_like(first.theta, dtype=torch.float64)
    for x, y in zip(images.split(BATCH), labels.split(BATCH), strict=True):
        total += len(y) * loss_and_gradient(first.network, first.theta.double(), pixels(x).double(), y)[1]
    return total / len(labels)


def path(preset: str, seed: int, folder: Path) -> Path:
    """Where the measurement of this preset and seed is kept."""
    return folder / "landscape" / preset / f"s{seed}.json"


def save(first: FirstTask, measured: Sample, preset: str, seed: int, folder: Path) -> None:
    """Write a sample with its provenance, six digits a number, and each Epoch.

    `loss` is L at θ̂⁰, θ̂¹ and as far again beyond.
    """
    record = {
        "preset": preset,
        "seed": seed,
        "command": f"python -m alasso.landscape {preset} {seed}",
        **results.provenance(),
        "dataset_sha256": first.task.dataset.sha256,
        "parameters": first.network.size,
        "loss": losses(first.network, first.task, [first.previous, first.theta, 2 * first.theta - first.previous]),
        "path_integral_sum": first.path_integral.double().sum().item(),
        "epochs": [epoch._asdict() for epoch in first.epochs],
        "layer": measured.layer.tolist(),
        **{name: [float(f"{value:.6g}") for value in getattr(measured, name)] for name in COLUMNS},
    }
    # One entry a line: a record that a person can skim and a diff can show.
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in record.items()]
    with results.whole(path(preset, seed, folder)) as file:
        file.write(("{" + ",\n ".join(lines) + "}\n").encode())


def load(file: Path) -> tuple[Sample, dict]:
    """A measurement and the rest of its record. Raises BadInput for a file that has none."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        columns = {field.name: np.array(record.pop(field.name)) for field in fields(Sample)}
    except (ValueError, LookupError, TypeError, AttributeError):
        raise BadInput(f"{file}: no whole measurement; delete it and measure again") from None
    return Sample(**columns), record


def main(arguments: list[str]) -> int:
    """Returns the exit status: 0; after one line that says why, 2 for bad input and 130 for a stop."""
    folder = results.folder()
    try:
        if len(arguments) != 2:
            raise BadInput(f"{' '.join(arguments)!r}: must be a preset and a seed, such as pmnist30 0")
        preset, seed = arguments[0], whole_number("seed", arguments[1], 0, LARGEST_SEED)
        _protocol(preset)
        file = path(preset, seed, folder)
        if file.exists():
            load(file)
        else:
            results.check_writable(file.parent)
            trained = first_task(preset, seed)
            save(trained, sample(trained, 1000, seed), preset, seed, folder)
        print(file)
        return 0
    except BadInput as error:
        print("alasso.landscape:", *str(error).splitlines(), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("alasso.landscape: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
