"""Streams of tasks. All randomness is a function of its key alone, never of a global generator's past."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from alasso.datasets import Dataset


def generator(seed: int, *key: int | str) -> torch.Generator:
    """A CPU generator for one purpose: the same (seed, key) gives the same numbers, whatever was drawn before."""
    words = [word for part in key for word in (part.encode() if isinstance(part, str) else [part])]
    state = np.random.SeedSequence([seed, len(words), *words]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state))


def batches(count: int, batch_size: int, seed: int, task: int, epoch: int) -> Iterator[Tensor]:
    """Indices of one epoch's batches, freshly shuffled; the last batch holds the rest, as in Keras' `fit`."""
    yield from torch.randperm(count, generator=generator(seed, "shuffle", task, epoch)).split(batch_size)


def permutation(seed: int, task: int, pixels: int = 784, permute_first: bool = False) -> Tensor:
    """The pixel order of a task (0, 1, …) of permuted MNIST, a bijection of 0 … pixels − 1.

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

    def train(self) -> tuple[Tensor, Tensor]:
        """Images (N, pixels) uint8 and labels (N,) int64."""
        return self.dataset.train_images.flatten(1)[:, self.order], self.dataset.train_labels

    def test(self) -> tuple[Tensor, Tensor]:
        """As train, with the same pixel order."""
        return self.dataset.test_images.flatten(1)[:, self.order], self.dataset.test_labels


def permuted_stream(dataset: Dataset, tasks: int, seed: int, permute_first: bool) -> list[PermutedTask]:
    """`tasks` tasks, each with a pixel order of its own, drawn from the seed (Goodfellow et al. 2013)."""
    pixels = dataset.train_images[0].numel()
    return [PermutedTask(k, dataset, permutation(seed, k, pixels, permute_first)) for k in range(tasks)]
