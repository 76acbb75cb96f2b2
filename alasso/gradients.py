"""The loss of a batch and its gradient, as networks.loss_and_gradient, made fast: see fast.py, which takes the steps.

The backward passes of the MLP and of the mean field are written out, so that each product lands in its place in the
gradient; convolutions are the library's, a few images at a time. A call returns the loss, 0-D, and g, which the next
call may overwrite.
"""

from types import SimpleNamespace

import torch
from torch import Tensor
from torch.nn import functional as F

from alasso.networks import MLP, MeanFieldMLP, images_at_once, loss_and_gradient, pixels


def make_gradient(network, theta: Tensor, batch: int, dtype: torch.dtype):
    """What suits the network, for batches of at most `batch` images and products in `dtype`."""
    match network:
        case MLP():
            return MLPGradient(network, theta, batch, dtype)
        case MeanFieldMLP():
            return MeanFieldGradient(network, theta, dtype)
        case _:
            return AutogradGradient(network, theta, batch, dtype)


def cross_entropy(logits: Tensor, y: Tensor, outputs: slice) -> tuple[Tensor, Tensor]:
    """Mean over a batch of −log softmax of the task's own outputs at y, and its derivative, (B, classes)."""
    log_p = logits[:, outputs].log_softmax(1)
    loss = F.nll_loss(log_p, y)
    sensitivity = torch.zeros_like(logits)
    sensitivity[:, outputs] = log_p.exp_().scatter_add_(1, y[:, None], -torch.ones_like(log_p[:, :1]))
    return loss, sensitivity.div_(len(y))


class MLPGradient:
    """Of an MLP. `g` (P,) is laid out as θ; each product is written to its place in it.

    Nothing as long as θ is allocated in a step.
    """

    def __init__(self, network: MLP, theta: Tensor, batch: int, dtype: torch.dtype):
        self.network = network
        self.g = torch.zeros_like(theta, dtype=dtype)
        self.parts = network.layers(self.g)
        self.pixels = theta.new_empty(batch, network.sizes[0], dtype=dtype)
        self.back = [theta.new_empty(batch, n, dtype=dtype) for n in network.sizes[1:-1]]  # ∂L/∂ of hidden layers

    def __call__(
        self, weights: Tensor, images: Tensor, y: Tensor, outputs: slice, noise: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """`weights` is θ in the precision of the products."""
        layers, (input_rate, rate) = self.network.layers(weights), self.network.dropout
        entered = [self.pixels[: len(y)]]  # each layer's input
        uniform = iter(noise)

        def drop(values: Tensor, share: float) -> None:
            if share:
                values.mul_(next(uniform).to(values.device) >= share).div_(1 - share)

        entered[0].copy_(images.flatten(1)).div_(255)
        drop(entered[0], input_rate)
        for weight, bias in layers[:-1]:
            entered.append(_linear_relu(entered[-1], weight, bias))
            drop(entered[-1], rate)
        weight, bias = layers[-1]
        loss, delta = cross_entropy(torch.addmm(bias, entered[-1], weight.T).float(), y, outputs)
        delta = delta.to(self.g.dtype)
        for layer in reversed(range(len(layers))):
            weight_part, bias_part = self.parts[layer]
            torch.mm(delta.T, entered[layer], out=weight_part)
            torch.sum(delta, 0, out=bias_part)
            if layer:
                hidden = self.back[layer - 1][: len(y)]
                torch.mm(delta, layers[layer][0], out=hidden)
                # Where a unit was off or dropped nothing comes back; what was kept had been scaled up by 1/keep.
                torch.ops.aten.threshold_backward.grad_input(hidden, entered[layer], 0, grad_input=hidden)
                delta = hidden.div_(1 - rate) if rate else hidden
        return loss, self.g


def _linear_relu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """max(0, x Wᵀ + b); on a processor in one call, so that the product is not walked over twice more."""
    known = torch.backends.mkldnn.is_available() and (
        x.dtype != torch.bfloat16 or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
    if x.device.type == "cpu" and known:
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu", [], "")
    return torch.addmm(bias, x, weight.T).relu_()


class MeanFieldGradient:
    """Of a mean field, at the draw that the noise ε gives: a unit has m + ε √s, m = x Mᵀ + b and s = x² Vᵀ + d.

    M and b are means, V and d variances. `g` (2P,) is with respect to means and log-variances.
    """

    def __init__(self, network: MeanFieldMLP, theta: Tensor, dtype: torch.dtype):
        self.g = torch.zeros_like(theta, dtype=dtype)
        self.moments = torch.zeros_like(self.g)  # means, then variances, in the precision of the products
        self.means, self.variances = (network.point.layers(half) for half in self.moments.chunk(2))
        self.mean_parts, self.variance_parts = (network.point.layers(half) for half in self.g.chunk(2))

    def __call__(
        self, theta: Tensor, images: Tensor, y: Tensor, outputs: slice, noise: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        (mu, log_variance), (mean, variance) = theta.chunk(2), self.moments.chunk(2)
        mean.copy_(mu)
        torch.exp(log_variance, out=variance)
        x = images.flatten(1).to(self.g.dtype).div_(255)
        passed = []  # of each layer: its input x and x², ε and √s
        for layer, ((m, b), (v, d), drawn) in enumerate(zip(self.means, self.variances, noise, strict=True)):
            x = x.relu_() if layer else x
            square, epsilon = x * x, drawn.to(x)
            deviation = torch.addmm(d, square, v.T).sqrt_()
            passed.append((x, square, epsilon, deviation))
            x = torch.addmm(b, x, m.T).addcmul_(epsilon, deviation)
        loss, delta = cross_entropy(x.float(), y, outputs)
        delta = delta.to(x.dtype)
        for layer in reversed(range(len(passed))):
            x, square, epsilon, deviation = passed[layer]
            spread = delta * epsilon / (2 * deviation)  # ∂L/∂s, where delta is ∂L/∂m
            for into, entered, (weight_part, bias_part) in (
                (delta, x, self.mean_parts[layer]),
                (spread, square, self.variance_parts[layer]),
            ):
                torch.mm(into.T, entered, out=weight_part)
                torch.sum(into, 0, out=bias_part)
            if layer:
                (m, _), (v, _) = self.means[layer], self.variances[layer]
                delta = torch.ops.aten.threshold_backward((delta @ m).addcmul_(x, spread @ v, value=2), x, 0)
        self.g.chunk(2)[1].mul_(variance)  # ∂σ²/∂ log σ² = σ²
        return loss, self.g


class AutogradGradient:
    """Of any network, by autograd; convolutions a few images at a time."""

    def __init__(self, network, theta: Tensor, batch: int, dtype: torch.dtype):
        def logits(theta: Tensor, x: Tensor, noise: list[Tensor]) -> Tensor:
            with torch.autocast(theta.device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
                return network.logits(theta, x, noise).float()

        self.network = SimpleNamespace(logits=logits)
        self.images = images_at_once(network, batch, theta.device)

    def __call__(
        self, theta: Tensor, images: Tensor, y: Tensor, outputs: slice, noise: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        parts = [slice(k, k + self.images) for k in range(0, len(y), self.images)]
        found = (
            loss_and_gradient(self.network, theta, pixels(images[part]), y[part], outputs, [n[part] for n in noise])
            for part in parts
        )
        loss, g = next(found)
        if len(parts) > 1:
            loss, g = loss * self.images, g.mul_(self.images)
            for part, (more_loss, more_g) in zip(parts[1:], found, strict=True):
                loss, g = loss + len(y[part]) * more_loss, g.add_(more_g, alpha=len(y[part]))
            loss, g = loss / len(y), g.div_(len(y))
        return loss, g
