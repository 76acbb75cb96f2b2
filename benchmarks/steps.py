"""What the benchmark times: a learner's step on fresh batches, the machine's own limits, and the clock for both."""

from collections.abc import Callable
from functools import partial
from itertools import chain, pairwise
from statistics import median
from time import perf_counter

import torch

from alasso.networks import MLP
from alasso.protocol import Protocol
from alasso.tasks import batches, generator

BATCH, BLOCK, COPIES = 256, 10, 3

Step = Callable[[], object]


def timed(
    cases: dict[str, Callable[[], Step]], count: int, block: int = BLOCK, copies: int = COPIES
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Median seconds of each case over at least `count` calls, and of each of its copies; each value makes a copy.

    Cases take turns of `block` calls; the first turn of each copy warms up.
    """
    calls = {name: [make() for _ in range(copies)] for name, make in cases.items()}
    seconds = {name: [[] for _ in range(copies)] for name in cases}
    for turn in range(-(-count // (block * copies)) + 1):
        for copy in range(copies):
            for name in cases:
                for _ in range(block):
                    began = perf_counter()
                    calls[name][copy]()
                    if turn:
                        seconds[name][copy].append(perf_counter() - began)
    return (
        {name: median(chain(*values)) for name, values in seconds.items()},
        {name: [median(mine) for mine in values] for name, values in seconds.items()},
    )


def second_task(make, network, surrogate, task):
    """A learner that has a first task behind it, so that its surrogate pulls."""
    theta = network.lift(network.point.init(generator(0, "initialisation")))
    learner = make(network, surrogate, theta, task, Protocol())
    for step in range(3):
        index = torch.arange(step * BATCH, (step + 1) * BATCH)
        images, y = task.train()
        learner.step(images[index], y[index], task.outputs, generator(0, "noise"))
    learner.consolidate(task, generator(0, "consolidate"))
    return learner


def stepper(learner, task, gather=lambda images, index: images.index_select(0, index)) -> Step:
    """One step on a fresh batch, by default gathered as the loop does it."""
    (images, labels), noise = task.train(), generator(0, "noise")
    epoch = iter(())

    def step() -> None:
        nonlocal epoch
        index = next(epoch, None)
        if index is None or len(index) < BATCH:
            epoch = iter(batches(len(labels), BATCH, 0, 0, 0))
            index = next(epoch)
        learner.step(gather(images, index), labels[index], task.outputs, noise)

    return step


def as_it_comes(step: Step) -> Step:
    """The same step with float32 products as PyTorch takes them if nobody asks for another route."""

    def default() -> None:
        route = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        step()
        torch.set_float32_matmul_precision(route)

    return default


def products(network: MLP, dtype: torch.dtype) -> Step:
    """The matrix products of one step and nothing else, into memory that is there."""
    triples = []
    for layer, (inputs, outputs) in enumerate(pairwise(network.sizes)):
        x, w, d = (torch.rand(shape).to(dtype) for shape in ((BATCH, inputs), (outputs, inputs), (BATCH, outputs)))
        triples += [(x, w.T, torch.empty_like(d)), (d.T, x, torch.empty_like(w))]
        if layer:
            triples.append((d, w, torch.empty_like(x)))

    def multiply() -> None:
        for a, b, out in triples:
            torch.mm(a, b, out=out)

    return multiply


def bandwidth(size: int) -> tuple[float, dict[str, float]]:
    """The most bytes a second that a kernel moves on vectors of this size, and all that were tried."""

    @torch.compile(dynamic=False, options={"cpp.dynamic_threads": True})
    def eight_to_four(read, write):
        for k, out in enumerate(write):
            out.copy_(read[k] + read[k + 4])

    def on_vectors(count: int, kernel) -> Step:
        return partial(kernel, *(torch.rand(size) for _ in range(count)))

    # vectors read and written, and the kernel
    cases = {
        "copy": (2, lambda a, b: b.copy_(a)),
        "add": (3, lambda a, b, c: torch.add(a, b, out=c)),
        "eight vectors to four": (12, lambda *all: eight_to_four(all[:8], all[8:])),
    }
    seconds, _ = timed({name: partial(on_vectors, *case) for name, case in cases.items()}, 50)
    rates = {name: count * 4 * size / seconds[name] for name, (count, _) in cases.items()}
    return max(rates.values()), rates


class RandomImages:
    """A task whose images are noise."""

    index, outputs = 0, slice(0, 3)

    def __init__(self, images: torch.Tensor, labels: torch.Tensor):
        self.images, self.labels, self.epoch_size = images, labels, len(labels)

    def train(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.images, self.labels
