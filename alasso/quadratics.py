"""Tasks whose losses are separable quadratics, Lⁿ(θ) = Σₖ hₖⁿ (θₖ − mₖⁿ)²: where theory says which estimate is exact.

Each task is trained to the optimum of its total loss, which has a closed form, by one step on whose middle the gradient
is taken: the path integral of a quadratic is then exact. Every tensor is float64.
"""

import torch
from torch import Tensor

from alasso.surrogates import ALASSO, SI
from alasso.tasks import generator

EXACT = ALASSO(c=1, a=1, c_prime=1, a_prime=1, epsilon=0, epsilon_prime=0, damping=0)
"""(7) as it is derived: what it takes to be exact here."""


def stream(tasks: int, size: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Curvatures h and minima m, (tasks, size) each, and parameters to start from, (size,)."""
    random = generator(seed, "quadratics")
    h = torch.rand(tasks, size, generator=random, dtype=torch.float64) + 0.1
    m = torch.randn(tasks, size, generator=random, dtype=torch.float64)
    return h, m, torch.randn(size, generator=random, dtype=torch.float64)


def optima(h: Tensor, m: Tensor) -> Tensor:
    """The minimisers of L¹, L¹ + L², …, (tasks, size)."""
    return (h * m).cumsum(0) / h.cumsum(0)


def trajectory(surrogate: SI | ALASSO, h: Tensor, m: Tensor, start: Tensor, total_gradient: bool = False) -> Tensor:
    """θ̂¹, θ̂², …, (tasks, size). `total_gradient` makes the classic mistake in ω."""
    theta, anchors = start, []
    state = surrogate.init(theta, None)
    for curvature, minimum in zip(h, m, strict=True):
        # The optimum of h(θ − m)² + κ(θ − θ̂)² is a weighted mean, on the side of θ̂ where m is: κ is that side's.
        apart = torch.where(minimum == state.anchor, 1.0, minimum - state.anchor)  # κ does not count where they are one
        past = surrogate.gradient(state, state.anchor + apart) / (2 * apart)
        target = (curvature * minimum + past * state.anchor) / (curvature + past)
        middle = (theta + target) / 2
        g = 2 * curvature * (middle - minimum)
        if total_gradient:
            g = g + surrogate.gradient(state, middle)
        state = surrogate.consolidate(surrogate.observe(state, g, target - theta), target, None, None, None)
        theta = target
        anchors.append(theta)
    return torch.stack(anchors)
