"""The step of train.Learner made fast: the same formulas, in one compiled pass over θ, and cheaper matrix products.

A step is some matrix products and then a walk over a dozen vectors as long as θ. Eager PyTorch walks each of them anew
for every operation; here Adam, the surrogate's gradient, what the surrogate observes and the low-precision copy of the
weights are one loop (`update`), compiled from the functions of formulas.py. The MLP's backward pass is written out, so
that each product lands in its place in the gradient; convolutions are the library's, a few images at a time; the mean
field's forward pass is compiled.

Hyper-parameters and the step count enter as 0-D tensors: no setting and no step compiles anything again.
"""

import sys
import sysconfig
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor
from torch.nn import functional as F

from alasso.errors import Notice
from alasso.networks import CNN, MLP, images_at_once, loss_and_gradient, pixels

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam's, as train.Learner has them
SLICE = 2**18  # entries of θ that are consolidated at a time


def update(
    theta: Tensor,
    low: Tensor | None,
    g: Tensor,
    first: Tensor,
    second: Tensor,
    state: tuple[Tensor, ...],
    surrogate,
    scale: float | Tensor,
    step_size: Tensor,
    correction: Tensor,
) -> None:
    """One step of Adam on the total loss, and what the surrogate observes of it; all in place, every vector (P,).

    `g` is the gradient of the task's loss, `first` and `second` are Adam's moments, `low` the weights as the matrix
    products take them. The bias corrections of Kingma and Ba 2015 are in `step_size`, η / (1 − β₁ᵗ), and `correction`,
    √(1 − β₂ᵗ).
    """
    g = scale * g.float()
    total = g + surrogate.gradient(state, theta)
    first.copy_(first.lerp(total, 1 - BETA1))
    second.copy_(BETA2 * second + (1 - BETA2) * total * total)
    after = theta - step_size * first / (second.sqrt() / correction + EPSILON)
    for old, new in zip(state, surrogate.observe(state, g, after - theta), strict=True):
        if new is not old:
            old.copy_(new)
    theta.copy_(after)
    if low is not None:
        low.copy_(after)


class FastLearner:
    """As train.Learner, and compared with it by the tests; `precision` is that of the matrix products.

    θ, Adam's moments and the surrogate's state are float32 in every precision, the side's three values are bytes, and
    products add up in float32.
    """

    def __init__(self, network, surrogate, theta: Tensor, task, protocol, precision: str = "float32"):
        theta = theta.detach()
        self.network, self.surrogate, self.theta, self.protocol = network, surrogate, theta, protocol
        self.set_state(surrogate.init(theta, task))
        self.reset_optimizer()
        dtype = PRECISIONS[precision]
        by_hand = isinstance(network, MLP)
        self.gradient = (MLPGradient if by_hand else AutogradGradient)(network, theta, protocol.batch_size, dtype)
        self.low = theta.to(dtype) if by_hand and dtype != theta.dtype else None
        self.scalars = replace(
            surrogate,
            **{
                f.name: theta.new_tensor(float(v))
                for f in fields(surrogate)
                if type(v := getattr(surrogate, f.name)) in (int, float)
            },
        )
        self.step_size, self.correction = theta.new_tensor(0.0), theta.new_tensor(0.0)

    def set_state(self, state: tuple[Tensor, ...]) -> None:
        """Take over the state; what is written in place must not be one tensor under two names."""
        seen: set[int] = set()
        own = [t.clone() if t.data_ptr() in seen or seen.add(t.data_ptr()) else t for t in state]
        self.state = type(state)(*own)
        if hasattr(self.state, "side"):  # of its three values a byte holds as much as four, and a step reads them all
            self.state = self.state._replace(side=self.state.side.to(torch.int8))

    def reset_optimizer(self) -> None:
        """Adam's moments at zero."""
        self.first, self.second = torch.zeros_like(self.theta), torch.zeros_like(self.theta)
        self.steps = 0

    def step(self, images: Tensor, y: Tensor, outputs: slice, generator) -> float:
        """One batch of uint8 images: one step of θ. Returns the loss of the task alone."""
        at, scale = self.surrogate.train_at(self.state, self.theta, self.network, generator)
        noise = self.network.noise(len(y), generator)
        if self.low is not None and at is not self.theta:
            self.low.copy_(at)
        loss, g = self.gradient(at if self.low is None else self.low, images, y, outputs, noise)
        self.steps += 1
        self.step_size.fill_(self.protocol.learning_rate / (1 - BETA1**self.steps))
        self.correction.fill_((1 - BETA2**self.steps) ** 0.5)
        moving = (self.theta, self.low, g, self.first, self.second, self.state)
        _compiled_update()(*moving, self.scalars, scale, self.step_size, self.correction)
        return loss.item()

    def consolidate(self, task, generator) -> None:
        """The end of a task."""
        if not getattr(self.surrogate, "entrywise", False):
            self.set_state(self.surrogate.consolidate(self.state, self.theta, self.network, task, generator))
            return
        # In place and in the cache: whole vectors would need half a dozen more as long as θ at once.
        for start in range(0, len(self.theta), SLICE):
            part = slice(start, start + SLICE)
            old = type(self.state)(*(t[part] for t in self.state))
            new = self.surrogate.consolidate(old, self.theta[part], self.network, task, generator)
            for mine, value in zip(old, new, strict=True):
                mine.copy_(value)

    def tensors(self) -> dict:
        """All that a checkpoint needs."""
        return {
            "theta": self.theta, "state": list(self.state), "moments": [self.first, self.second], "steps": self.steps,
        }  # fmt: skip

    def load(self, tensors: dict) -> "FastLearner":
        """Go on from a checkpoint."""
        self.theta.copy_(tensors["theta"])
        if self.low is not None:
            self.low.copy_(self.theta)
        self.set_state(type(self.state)(*(t.to(self.theta) for t in tensors["state"])))
        self.first, self.second = (t.to(self.theta) for t in tensors["moments"])
        self.steps = tensors["steps"]
        return self


class MLPGradient:
    """Mean cross-entropy of an MLP and its gradient, as networks.loss_and_gradient.

    `g` (P,) is laid out as θ; each product is written to its place in it. Nothing as long as θ is allocated in a step.
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
        """Loss, 0-D, and g (P,), which the next call overwrites; `weights` is θ in the precision of the products."""
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
        logits = torch.addmm(bias, entered[-1], weight.T).float()
        log_p = logits[:, outputs].log_softmax(1)
        loss = F.nll_loss(log_p, y)

        sensitivity = torch.zeros_like(logits)
        sensitivity[:, outputs] = log_p.exp_().scatter_add_(1, y[:, None], -torch.ones_like(log_p[:, :1]))
        delta = sensitivity.div_(len(y)).to(self.g.dtype)
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
    if x.device.type == "cpu" and torch.backends.mkldnn.is_available():
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu", [], "")
    return torch.addmm(bias, x, weight.T).relu_()


class AutogradGradient:
    """As networks.loss_and_gradient: convolutions a few images at a time, any other forward pass compiled.

    Compiled, convolutions are slower: the compiler lays memory out around the library's kernels.
    """

    def __init__(self, network, theta: Tensor, batch: int, dtype: torch.dtype):
        def logits(theta: Tensor, x: Tensor, noise: list[Tensor]) -> Tensor:
            with torch.autocast(theta.device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
                return network.logits(theta, x, noise).float()

        self.network = SimpleNamespace(logits=logits if isinstance(network, CNN) else _compile(logits))
        self.images = images_at_once(network, batch, theta.device)

    def __call__(
        self, theta: Tensor, images: Tensor, y: Tensor, outputs: slice, noise: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Loss, 0-D, and g (P,)."""
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


def native_precision(device: str) -> str:
    """The cheapest precision that the hardware multiplies in: bfloat16 only where it does not have to imitate it."""
    match torch.device(device).type:
        case "cpu":
            has = torch.cpu.get_capabilities()
            able = has.get("avx512_bf16") or has.get("amx_bf16")
        case "cuda":
            able = torch.cuda.is_bf16_supported(including_emulation=False)
        case _:
            able = False
    return "bfloat16" if able else "float32"


@contextmanager
def quick_float32(device: str) -> Iterator[str]:
    """Within, float32 products take PyTorch's quicker route if it is as accurate here; yields the route's name.

    On processors without AMX, precision "medium" means oneDNN in place of MKL, which can be twice as fast and loses
    nothing; with AMX it means bfloat16. So one product is held against float64.
    """
    before = torch.get_float32_matmul_precision()
    a, b = torch.rand(2, 256, 256, generator=torch.Generator().manual_seed(0)).to(device)
    exact = a.cpu().double() @ b.cpu().double()  # not every device has float64
    torch.set_float32_matmul_precision("medium")
    if (((a @ b).cpu() - exact).abs() / exact).max() > 1e-5:
        torch.set_float32_matmul_precision(before)
    try:
        yield torch.get_float32_matmul_precision()
    finally:
        torch.set_float32_matmul_precision(before)


@cache
def can_compile() -> bool:
    """Whether torch.compile finds a C++ compiler and Python's headers, which its output includes.

    Without them the same formulas run uncompiled, and this says so.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    headers = sys.platform != "linux" or Path(sysconfig.get_path("include"), "Python.h").exists()
    missing = "" if headers else "Python.h (in Debian's package python3-dev)"
    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        missing = "C++ compiler (g++ or clang++)"
    if missing:
        warnings.warn(f"no {missing}: steps run uncompiled and slower; results agree", Notice, stacklevel=2)
    return not missing


def _compile(function):
    # One variant for each surrogate and network of the process, and more only if a process runs very many.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)
    return torch.compile(function, dynamic=False, options={"cpp.dynamic_threads": True}) if can_compile() else function


@cache
def _compiled_update():
    return _compile(update)
