"""The step of train.Learner made fast: the same formulas, in one compiled pass over θ, and cheaper matrix products.

A step is some matrix products and then a walk over a dozen vectors as long as θ. Eager PyTorch walks each of them anew
for every operation; here Adam, the surrogate's gradient, what the surrogate observes and the low-precision copy of the
weights are one loop (`update`), compiled from the functions of formulas.py. The products are in gradients.py.

Hyper-parameters and the step count enter as 0-D tensors: no setting and no step compiles anything again.
"""

import subprocess
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import cache

import torch
from torch import Tensor

from alasso.errors import Notice
from alasso.gradients import MLPGradient, make_gradient
from alasso.networks import MeanFieldMLP, accuracy

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

    `g`, times `scale` where a method trains at other weights than θ, is the gradient of the task's loss, `first` and
    `second` are Adam's moments, `low` the weights as the matrix products take them. The bias corrections of Kingma and
    Ba 2015 are in `step_size`, η / (1 − β₁ᵗ), and `correction`, √(1 − β₂ᵗ).
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
        self.gradient = make_gradient(network, theta, protocol.batch_size, dtype)
        self.low = theta.to(dtype) if isinstance(self.gradient, MLPGradient) and dtype != theta.dtype else None
        self.scalars = replace(
            surrogate,
            **{
                f.name: theta.new_tensor(float(v))
                for f in fields(surrogate)
                if type(v := getattr(surrogate, f.name)) in (int, float)
            },
        )
        self.quick_tests = isinstance(network, MeanFieldMLP) and dtype == torch.bfloat16
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

    def accuracy(self, theta: Tensor, task) -> float:
        """As the reference's; a mean field's many draws are multiplied in the precision of its training."""
        with torch.autocast(theta.device.type, dtype=torch.bfloat16, enabled=self.quick_tests):
            return accuracy(self.network, theta, *task.test(), task.outputs)

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
    """Whether torch.compile finds a C++ compiler that works and Python's headers, which its output includes.

    Without them the same formulas run uncompiled, and this says so.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler

    needed = {"C++ compiler that works (g++ or clang++)": "", "Python.h (Debian: python3-dev)": "#include <Python.h>"}
    for missing, source in needed.items():
        try:
            probe = [get_cpp_compiler(), "-x", "c++", "-fsyntax-only", "-I", sysconfig.get_path("include"), "-"]
            if sys.platform != "win32":  # its compiler has other options
                subprocess.run(probe, input=source, capture_output=True, text=True, check=True)
        except (RuntimeError, OSError, subprocess.SubprocessError):
            warnings.warn(f"no {missing}: steps run uncompiled and slower; results agree", Notice, stacklevel=2)
            return False
    return True


@cache
def _compiled_update():
    if not can_compile():
        return update
    # One variant for each surrogate and network of the process, and more only if a process runs very many.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)
    return torch.compile(update, dynamic=False, options={"cpp.dynamic_threads": True})
