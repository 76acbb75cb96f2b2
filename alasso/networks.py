"""Networks as functions of one flat parameter vector θ of shape (P,), on which every equation is one line."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class MLP:
    """Fully connected ReLU network with a linear read-out; Table B of the supplement is MLP((784, 2000, 2000, 10)).

    θ holds, layer by layer, the weight (outputs, inputs) in row-major order and then the bias (outputs,).
    """

    sizes: tuple[int, ...]

    @property
    def layer_sizes(self) -> list[int]:
        """Entries of θ in each weight and bias, in order."""
        return [n for inputs, outputs in pairwise(self.sizes) for n in (inputs * outputs, outputs)]

    @property
    def size(self) -> int:
        """P, the number of parameters."""
        return sum(self.layer_sizes)

    def init(self, generator: torch.Generator) -> Tensor:
        """Glorot-uniform weights and zero biases (Keras' default, used by the authors' code), (P,) float32."""
        parts = []
        for inputs, outputs in pairwise(self.sizes):
            bound = (6 / (inputs + outputs)) ** 0.5
            parts.append((torch.rand(inputs * outputs, generator=generator) * 2 - 1) * bound)
            parts.append(torch.zeros(outputs))
        return torch.cat(parts)

    def logits(self, theta: Tensor, x: Tensor) -> Tensor:
        """x (B, inputs) → (B, classes)."""
        # One split, whose backward is one concatenation; a slice per layer would add up as many vectors of length P.
        parts = iter(theta.split(self.layer_sizes))
        for layer, (inputs, outputs) in enumerate(pairwise(self.sizes)):
            x = F.linear(x if layer == 0 else x.relu(), next(parts).view(outputs, inputs), next(parts))
        return x


def loss_and_gradient(network, theta: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy L(θ) of a batch, a scalar, and its gradient g, (P,). The loss of the task **alone**."""
    theta = theta.detach().requires_grad_()
    loss = F.cross_entropy(network.logits(theta, x), y)
    (gradient,) = torch.autograd.grad(loss, theta)
    return loss.detach(), gradient


@torch.no_grad()
def accuracy(network, theta: Tensor, images: Tensor, labels: Tensor, batch_size: int = 2000) -> float:
    """Share of right predictions on images (N, inputs) uint8 with labels (N,)."""
    right = 0
    for x, y in zip(images.split(batch_size), labels.split(batch_size), strict=True):
        right += int((network.logits(theta, pixels(x)).argmax(1) == y).sum())
    return right / len(labels)


def pixels(images: Tensor) -> Tensor:
    """uint8 → float32 in [0, 1]."""
    return images.float() / 255
