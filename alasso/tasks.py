"""Streams of tasks. All randomness is a function of its key alone, never of a global generator's past."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from alasso.datasets import Dataset


def generator(seed: int, *key: int | str) -> torch.Generator:
    """A CPU generator for one purpose: the same (seed, key) gives the same numbers, whatever was drawn before."""
    words = [word for part in key for word in (part.encode() if isinstance(part, str) else [part])]
    state = np.random.SeedSequence([seed, len(words), *words]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state))


def batches(
    count: int, batch_size: int, seed: int, task: int, epoch: int, epoch_size: int | None = None
) -> tuple[Tensor, ...]:
    """Indices of one epoch's batches, freshly shuffled; the last batch holds the rest, as in Keras' `fit`."""
    order = torch.randperm(count, generator=generator(seed, "shuffle", task, epoch))
    return order[:epoch_size].split(batch_size)


def permutation(seed: int, task: int, pixels: int = 784, permute_first: bool = False) -> Tensor:
    """The pixel order of a task (0, 1, …) of permuted MNIST, (pixels,) int64, a bijection of 0 … pixels − 1.

    `permute_first=False` leaves task 0 as it is, as both published codes do (pathint and alasso, `permute_all=False`);
    True permutes every task, as the paper says ("differently in each task").
    """
    if task == 0 and not permute_first:
        return torch.arange(pixels)
    return torch.randperm(pixels, generator=generator(seed, "permutation", task))


@dataclass(frozen=True)
class PermutedTask:
    """One task of permuted MNIST: every image of the data set, its pixels in one new order.

    Images are permuted when asked for and not kept, so a stream of any length holds one copy of the data.
    """

    index: int
    dataset: Dataset = field(repr=False)
    order: Tensor = field(repr=False)
    outputs: ClassVar[slice] = slice(None)  # every task has the same ten classes

    @property
    def epoch_size(self) -> int:
        """Images in one epoch."""
        return len(self.dataset.train_labels)

    def train(self) -> tuple[Tensor, Tensor]:
        """Images (N, pixels) uint8 and labels (N,) int64."""
        return self.dataset.train_images.flatten(1)[:, self.order], self.dataset.train_labels

    def test(self) -> tuple[Tensor, Tensor]:
        """As train, with the same pixel order."""
        return self.dataset.test_images.flatten(1)[:, self.order], self.dataset.test_labels


class MixedImages:
    """The images (N, pixels) of several permuted tasks, one task after the other, each permuted only when asked for.

    `orders` (tasks, pixels) are the tasks' own.
    """

    def __init__(self, images: Tensor, orders: Tensor):
        self.images, self.orders = images, orders

    def index_select(self, _dim: int, index: Tensor) -> Tensor:
        """Images (B, pixels) for indices into the concatenation, (B,); as a tensor of all of them would."""
        return self.images[index % len(self.images)].gather(1, self.orders[index // len(self.images)])


@dataclass(frozen=True)
class JointTask:
    """All tasks up to one of them, mixed in every batch: the upper bound *multi task*.

    An epoch takes as many images as one task has, drawn without replacement from all tasks so far: its cost does not
    grow with their number, and the past is seen in proportion.
    """

    latest: PermutedTask
    orders: Tensor = field(repr=False)  # (tasks so far, pixels)

    index = property(lambda self: self.latest.index)
    outputs = property(lambda self: self.latest.outputs)
    epoch_size = property(lambda self: self.latest.epoch_size)

    def train(self) -> tuple[MixedImages, Tensor]:
        """Images, of which index_select gives some, and labels (N × tasks so far,)."""
        images, labels = self.latest.dataset.train_images.flatten(1), self.latest.dataset.train_labels
        return MixedImages(images, self.orders.to(images.device)), labels.repeat(len(self.orders))

    def test(self) -> tuple[Tensor, Tensor]:
        """The latest task's own test images and labels."""
        return self.latest.test()


@dataclass(frozen=True)
class SplitTask:
    """Some classes of a data set; the softmax of the task is over its own outputs, labels count from their first."""

    index: int
    dataset: Dataset = field(repr=False)
    classes: tuple[int, ...]

    @property
    def outputs(self) -> slice:
        return slice(self.index * len(self.classes), (self.index + 1) * len(self.classes))

    @property
    def epoch_size(self) -> int:
        return int(sum((self.dataset.train_labels == label).sum() for label in self.classes))

    def train(self) -> tuple[Tensor, Tensor]:
        """Images (N, 3, H, W) uint8 and labels (N,) int64."""
        return self._part(self.dataset.train_images, self.dataset.train_labels)

    def test(self) -> tuple[Tensor, Tensor]:
        return self._part(self.dataset.test_images, self.dataset.test_labels)

    def _part(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        own = torch.tensor(self.classes, device=labels.device)
        found = labels[:, None] == own
        chosen = found.any(1)
        return images[chosen], found[chosen].int().argmax(1)


HELD_OUT = 10
"""One training image of so many is held out for choosing settings."""


def held_out(dataset: Dataset) -> Dataset:
    """The data set with one in HELD_OUT of its training images, always the same ones, in place of its test images."""
    images, labels = dataset.train_images, dataset.train_labels
    order = torch.randperm(len(labels), generator=generator(0, "validation")).to(labels.device)
    test, train = order.tensor_split([len(order) // HELD_OUT])
    return replace(
        dataset,
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
    )


def permuted_stream(
    dataset: Dataset, tasks: int, seed: int, permute_first: bool, joint: bool = False
) -> list[PermutedTask] | list[JointTask]:
    """`tasks` tasks, each with a pixel order of its own, drawn from the seed (Goodfellow et al. 2013)."""
    pixels = dataset.train_images[0].numel()
    orders = torch.stack([permutation(seed, k, pixels, permute_first) for k in range(tasks)])
    stream = [PermutedTask(k, dataset, orders[k]) for k in range(tasks)]
    return [JointTask(task, orders[: task.index + 1]) for task in stream] if joint else stream


def split_stream(dataset: Dataset, tasks: int, per_task: int, seed: int) -> list[SplitTask]:
    """`tasks` tasks of `per_task` classes each, no class twice, of a data set that has so many.

    The paper does not say which classes make which task, nor which are left out: they are drawn from the seed.
    """
    order = torch.randperm(len(dataset.classes), generator=generator(seed, "classes")).tolist()
    return [SplitTask(k, dataset, tuple(order[k * per_task : (k + 1) * per_task])) for k in range(tasks)]
