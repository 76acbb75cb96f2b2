"""Networks as functions of one flat parameter vector θ of shape (P,), on which every equation is one line.

θ holds, layer by layer, the weight in row-major order and then the bias. `logits` with the `noise` of a batch is the
network in training; without noise it is the network as it is tested. `point` is the network whose θ is fitted first,
and `lift` takes its θ to this one's: both do nothing but for the mean field, whose θ is a distribution.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from alasso.tasks import generator as named_generator

LARGEST_LAYER = 16 * 2**20  # bytes, of the images that convolutions on a CPU get at a time
OUTPUTS = slice(None)  # all outputs; a task with classes of its own names a part of them


class _Flat:
    """What point networks share: the layout of θ, from `shapes`, the weight of each layer as (outputs, inputs, …)."""

    shapes: tuple[tuple[int, ...], ...]
    tested: ClassVar[int] = 500  # images at a time

    @property
    def layer_sizes(self) -> list[int]:
        """Entries of θ in each weight and bias, in order."""
        return [n for shape in self.shapes for n in (prod(shape), shape[0])]

    @property
    def size(self) -> int:
        """P, the number of parameters."""
        return sum(self.layer_sizes)

    def init(self, generator: Generator, initialisation: str = "glorot") -> Tensor:
        """θ before any training, (P,) float32.

        glorot: weights uniform in ±√(6 / (fan_in + fan_out)), biases zero (Glorot and Bengio 2010; Keras' default).
        pytorch: weights and biases uniform in ±1/√fan_in (the default of torch.nn.Linear and torch.nn.Conv2d).
        """
        glorot, parts = initialisation == "glorot", []
        for outputs, inputs, *window in self.shapes:
            fan_in, fan_out = inputs * prod(window), outputs * prod(window)
            bound = (6 / (fan_in + fan_out)) ** 0.5 if glorot else fan_in**-0.5
            parts.append((torch.rand(outputs * fan_in, generator=generator) * 2 - 1) * bound)
            parts.append(torch.zeros(outputs) if glorot else (torch.rand(outputs, generator=generator) * 2 - 1) * bound)
        return torch.cat(parts)

    def layers(self, theta: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of each layer, as views of θ."""
        # One split, whose backward is one concatenation; a slice per layer would add up as many vectors of length P.
        parts = iter(theta.split(self.layer_sizes))
        return [(next(parts).view(shape), next(parts)) for shape in self.shapes]

    def node_scale(self, rates: tuple[float, float], generator: Generator) -> Tensor:
        """One draw of dropout as a factor for each entry of θ, (P,): 0 where its input node is off, 1/keep where on.

        `rates` are the shares of input and of hidden nodes that are off; biases have no input node and keep 1.
        """
        parts = []
        for layer, shape in enumerate(self.shapes):
            rate = rates[min(layer, 1)]
            nodes = (torch.rand(shape[1], generator=generator) >= rate).float() / (1 - rate)
            parts.append(nodes.view(1, -1, *[1] * (len(shape) - 2)).expand(shape).flatten())
            parts.append(torch.ones(shape[0]))
        return torch.cat(parts)

    def activity(self, theta: Tensor, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """What `per_image` needs of the forward pass, and the logits (B, classes)."""
        parts = x.split(images_at_once(self, len(x), theta.device))
        return [x], torch.cat([self.logits(theta, part) for part in parts])

    def per_image(self, theta: Tensor, inputs: list[Tensor], sensitivity: Tensor, power: int) -> Tensor:
        """Σₙ |∂sₙ/∂θ|ᵖ over images n, (P,), where `sensitivity` (B, classes) is ∂sₙ/∂logits. One gradient an image."""

        def weighed(theta, x, s):
            return (self.logits(theta, x[None])[0] * s).sum()

        each = torch.func.vmap(torch.func.grad(weighed), (None, 0, 0))
        parts = zip(inputs[0].split(8), sensitivity.split(8), strict=True)  # (8, P) at a time, not (B, P)
        return sum((each(theta, x, s).abs() ** power).sum(0) for x, s in parts)

    @property
    def point(self):
        return self

    def lift(self, theta: Tensor) -> Tensor:
        return theta

    def predict(self, theta: Tensor, x: Tensor) -> Tensor:
        """Scores of the classes, (B, classes); the highest is the prediction."""
        return self.logits(theta, x)


@dataclass(frozen=True)
class MLP(_Flat):
    """Fully connected ReLU network with a linear read-out; Table B of the supplement is MLP((784, 2000, 2000, 10))."""

    sizes: tuple[int, ...]
    dropout: tuple[float, float] = (0.0, 0.0)  # of the inputs, of the hidden units

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple((outputs, inputs) for inputs, outputs in pairwise(self.sizes))

    def noise(self, batch: int, generator: Generator) -> list[Tensor]:
        """What chance decides for one batch: uniform numbers for each layer that dropout thins."""
        rates = (self.dropout[0], *[self.dropout[1]] * (len(self.sizes) - 2))
        return [torch.rand(batch, n, generator=generator) for n, rate in zip(self.sizes, rates, strict=False) if rate]

    def logits(self, theta: Tensor, x: Tensor, noise: list[Tensor] | None = None) -> Tensor:
        """x (B, …), inputs in all → (B, classes)."""
        *hidden, (weight, bias) = self.layers(theta)
        drawn = iter(noise) if noise else None
        x = dropout(x.flatten(1), self.dropout[0], drawn)
        for w, b in hidden:
            x = dropout(F.linear(x, w, b).relu(), self.dropout[1], drawn)
        return F.linear(x, weight, bias)

    def activity(self, theta: Tensor, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """What goes into each layer, (B, inputs) each, and the logits (B, classes)."""
        *hidden, (weight, bias) = self.layers(theta)
        inputs = [x.flatten(1)]
        for w, b in hidden:
            inputs.append(F.linear(inputs[-1], w, b).relu())
        return inputs, F.linear(inputs[-1], weight, bias)

    def per_image(self, theta: Tensor, inputs: list[Tensor], sensitivity: Tensor, power: int) -> Tensor:
        """As for every network, but no image's gradient is ever formed.

        In a dense layer an image's gradient is the outer product of what comes back and what went in, so the sum of its
        entries' powers is one matrix product of powers.
        """
        parts = []
        for (weight, _), entered in zip(reversed(self.layers(theta)), reversed(inputs), strict=True):
            back = sensitivity.abs() ** power
            parts[:0] = [(back.T @ entered.abs() ** power).flatten(), back.sum(0)]
            sensitivity = (sensitivity @ weight) * (entered > 0)
        return torch.cat(parts)


@dataclass(frozen=True)
class CNN(_Flat):
    """Blocks of 3×3 convolutions with ReLU, each ended by 2×2 max pooling and dropout; one dense layer; the read-out.

    Images of another size are brought to `side` on the way in, so that an enlarged data set is never stored.
    """

    side: int
    blocks: tuple[tuple[int, ...], ...]  # channels of each convolution, block by block
    dense: int
    classes: int
    block_dropout: ClassVar[float] = 0.25
    dense_dropout: ClassVar[float] = 0.5

    @property
    def widest(self) -> int:
        """Numbers in the largest layer of one image."""
        return max(channels * (self.side // 2**k) ** 2 for k, block in enumerate(self.blocks) for channels in block)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        channels = [3, *(c for block in self.blocks for c in block)]
        flat = channels[-1] * (self.side // 2 ** len(self.blocks)) ** 2
        convolutions = tuple((outputs, inputs, 3, 3) for inputs, outputs in pairwise(channels))
        return (*convolutions, (self.dense, flat), (self.classes, self.dense))

    def noise(self, batch: int, generator: Generator) -> list[Tensor]:
        """What chance decides for one batch: uniform numbers for the end of each block and for the dense layer."""
        sides = [self.side // 2**k for k in range(1, len(self.blocks) + 1)]
        shapes = [(batch, block[-1], side, side) for block, side in zip(self.blocks, sides, strict=True)]
        return [torch.rand(shape, generator=generator) for shape in [*shapes, (batch, self.dense)]]

    def logits(self, theta: Tensor, x: Tensor, noise: list[Tensor] | None = None) -> Tensor:
        """x (B, 3, H, W) → (B, classes)."""
        if x.shape[-1] != self.side:
            x = F.interpolate(x, size=self.side, mode="bilinear", align_corners=False)
        layers, drawn = iter(self.layers(theta)), iter(noise) if noise else None
        for block in self.blocks:
            for position, _ in enumerate(block):
                weight, bias = next(layers)
                x = F.conv2d(x.relu_() if position else x, weight, bias, padding=1)
            # The maximum of ReLUs is the ReLU of the maximum, for a quarter of the work.
            x = dropout(F.max_pool2d(x, 2).relu_(), self.block_dropout, drawn)
        weight, bias = next(layers)
        x = dropout(F.linear(x.flatten(1), weight, bias).relu(), self.dense_dropout, drawn)
        return F.linear(x, *next(layers))


def table_c(classes: int) -> CNN:
    """Table C, split CIFAR: 32×32 images; two blocks of two convolutions, 4 and 8 channels; 64 dense units."""
    return CNN(32, ((4, 4), (8, 8)), 64, classes)


def table_d(classes: int, side: int = 224) -> CNN:
    """Table D, split Tiny ImageNet: 224×224 images; five blocks of one convolution; 2048 dense units."""
    return CNN(side, ((32,), (32,), (64,), (64,), (64,)), 2048, classes)


@dataclass(frozen=True)
class MeanFieldMLP:
    """An MLP whose every parameter is an independent Gaussian; θ holds all means, then all log-variances, (2P,).

    In training noise is drawn for each image and unit, not for each weight, which has the same distribution for each
    image and less variance: the local reparametrisation of Kingma, Salimans and Welling 2015. Predictions average the
    softmax of `samples` networks whose weights are drawn.
    """

    sizes: tuple[int, ...]
    samples: int = 10
    initial_log_variance: ClassVar[float] = -6.0  # as in the authors' code, nvcuong/variational-continual-learning
    tested: ClassVar[int] = 10_000  # as weights are drawn for these images again

    @property
    def point(self) -> MLP:
        return MLP(self.sizes)

    @property
    def size(self) -> int:
        return 2 * self.point.size

    def lift(self, theta: Tensor) -> Tensor:
        """Means at θ, small variances."""
        return torch.cat([theta, torch.full_like(theta, self.initial_log_variance)])

    def noise(self, batch: int, generator: Generator) -> list[Tensor]:
        """What chance decides for one batch: a normal number for each image and unit."""
        return [torch.randn(batch, n, generator=generator) for n in self.sizes[1:]]

    def logits(self, theta: Tensor, x: Tensor, noise: list[Tensor] | None = None) -> Tensor:
        """x (B, …), inputs in all → (B, classes), one draw; without noise, at the means."""
        means, log_variances = (self.point.layers(half) for half in theta.chunk(2))
        for layer, ((w, b), (log_w, log_b)) in enumerate(zip(means, log_variances, strict=True)):
            x = x.relu() if layer else x.flatten(1)
            mean = F.linear(x, w, b)
            if noise:
                mean = mean + noise[layer].to(mean) * F.linear(x**2, log_w.exp(), log_b.exp()).sqrt()
            x = mean
        return x

    def predict(self, theta: Tensor, x: Tensor) -> Tensor:
        """Probabilities of the classes, (B, classes); the drawn networks are the same at every call."""
        generator, (mean, log_variance) = named_generator(0, "predict"), theta.chunk(2)
        deviation = (log_variance / 2).exp()
        drawn = (mean + deviation * torch.randn(len(mean), generator=generator).to(mean) for _ in range(self.samples))
        return sum(self.point.logits(weights, x).softmax(1) for weights in drawn) / self.samples


def dropout(x: Tensor, rate: float, uniform: Iterator[Tensor] | None) -> Tensor:
    """Zero where the next uniform numbers are below the rate, scaled up elsewhere; x itself without any."""
    if uniform is None or rate == 0:
        return x
    return x * (next(uniform).to(x.device) >= rate).to(x) / (1 - rate)


def loss_and_gradient(
    network, theta: Tensor, x: Tensor, y: Tensor, outputs: slice = OUTPUTS, noise: list[Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy L(θ) of a batch, a scalar, and its gradient g, (P,). The loss of the task **alone**.

    The softmax is over the task's own outputs; y counts from the first of them.
    """
    theta = theta.detach().requires_grad_()
    loss = F.cross_entropy(network.logits(theta, x, noise)[:, outputs], y)
    (gradient,) = torch.autograd.grad(loss, theta)
    return loss.detach(), gradient


@torch.no_grad()
def accuracy(network, theta: Tensor, images: Tensor, labels: Tensor, outputs: slice = OUTPUTS) -> float:
    """Share of right predictions on uint8 images (N, …) with labels (N,)."""
    right, batch_size = 0, images_at_once(network, network.tested, theta.device)
    for x, y in zip(images.split(batch_size), labels.split(batch_size), strict=True):
        right += int((network.predict(theta, pixels(x))[:, outputs].argmax(1) == y).sum())
    return right / len(labels)


def images_at_once(network, batch: int, device: torch.device) -> int:
    """A batch, or as much of it as convolutions on a CPU should get: what passes between layers stays in the cache.

    It also stays below the 32 MB from which the C library takes fresh pages for every tensor.
    """
    if device.type != "cpu" or not isinstance(network, CNN):
        return batch
    return max(1, min(batch, LARGEST_LAYER // (4 * network.widest)))


def pixels(images: Tensor) -> Tensor:
    """uint8 → float32 in [0, 1]; of (B, 3, H, W) the colours of a pixel side by side, as convolutions like them."""
    x = images.float() / 255
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
