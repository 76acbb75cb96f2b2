"""Surrogates for the loss of the past: what a method adds to the loss of the new task.

A surrogate is a frozen dataclass of hyper-parameters and seven functions over an explicit State, a tuple of tensors
whose first is the anchor. All are pure; randomness comes from the generator that they are given.

===================================================  =====================  ============================================
function                                             when                   returns
===================================================  =====================  ============================================
init(theta, task)                                    before the first task  State
train_at(state, theta, network, generator)           every step             parameters where the task's loss is taken,
                                                                            and their derivative by θ, entrywise
penalty(state, theta)                                tests                  scalar, what is added to the loss
gradient(state, theta)                               every step             (P,), its gradient in closed form
observe(state, g, delta)                             after every step       State; g: gradient of the task's loss alone
consolidate(state, theta, network, task, generator)  end of a task          State
evaluate_at(state, theta)                            before evaluation      the parameters to evaluate
===================================================  =====================  ============================================

No surrogate inherits from another: what two of them share is a function in formulas.py. One whose `consolidate` treats
each entry of θ by itself, and neither network nor task, says so: `entrywise`. Here are plain training, SI and ALASSO;
rivals.py has the others.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from alasso import formulas
from alasso.errors import require


class State(NamedTuple):
    """What a surrogate remembers of the past, four tensors of shape (P,). See the symbols in formulas.py."""

    anchor: Tensor
    importance: Tensor  # ≥ 0, but for SI and ALASSO without their floors
    side: Tensor  # +1 or −1; 0 where α = 0 for every θ
    path_integral: Tensor  # of the task in training


def initial_state(theta: Tensor) -> State:
    """Nothing remembered yet."""
    # A copy: a view of the weights would follow them, and every displacement would be zero.
    anchor = theta.detach().clone()
    zeros = torch.zeros_like(anchor)
    return State(anchor, zeros, torch.ones_like(anchor), zeros)


@dataclass(frozen=True)
class NoSurrogate:
    """Plain training: the past counts for nothing. The lower bound that every method must beat."""

    entrywise: ClassVar[bool] = True

    def init(self, theta: Tensor, task) -> State:
        return initial_state(theta)

    def train_at(self, state: State, theta: Tensor, network, generator) -> tuple[Tensor, float]:
        return theta, 1.0

    def penalty(self, state: State, theta: Tensor) -> Tensor:
        return theta.new_zeros(())

    def gradient(self, state: State, theta: Tensor) -> Tensor:
        return torch.zeros_like(theta)

    def observe(self, state: State, g: Tensor, delta: Tensor) -> State:
        return state

    def consolidate(self, state: State, theta: Tensor, network, task, generator) -> State:
        return state

    def evaluate_at(self, state: State, theta: Tensor) -> Tensor:
        return theta


@dataclass(frozen=True)
class SI:
    """Synaptic Intelligence (Zenke et al. 2017): a symmetric quadratic, equations (1)–(3) of Park et al.

    Without the floor, a parameter that raised the loss on its way is pushed away from its anchor without bound.
    """

    entrywise: ClassVar[bool] = True

    c: float = 0.1
    """Weight of the past. 0.1 is the value of SI's authors for permuted MNIST."""
    damping: float = 0.1
    """ξ, in units of a squared parameter."""
    floor: bool = True
    """Sums floored at zero, as its authors' code (ganguli-lab/pathint, `PATH_INT_PROTOCOL`); False: (3) as it is."""

    def __post_init__(self):
        require(0 <= self.c < float("inf"), "c", self.c, "a finite number ≥ 0")
        require(0 <= self.damping < float("inf"), "damping", self.damping, "a finite number ≥ 0")

    def init(self, theta: Tensor, task) -> State:
        return initial_state(theta)

    def train_at(self, state: State, theta: Tensor, network, generator) -> tuple[Tensor, float]:
        return theta, 1.0

    def penalty(self, state: State, theta: Tensor) -> Tensor:
        return self.c * formulas.quadratic_surrogate(theta, state.anchor, state.importance).sum()

    def gradient(self, state: State, theta: Tensor) -> Tensor:
        return self.c * formulas.quadratic_surrogate_gradient(theta, state.anchor, state.importance)

    def observe(self, state: State, g: Tensor, delta: Tensor) -> State:
        return state._replace(path_integral=formulas.path_integral_step(state.path_integral, g, delta))

    def consolidate(self, state: State, theta: Tensor, network, task, generator) -> State:
        displacement = theta - state.anchor
        importance = formulas.si_importance(state.path_integral, displacement, state.importance, self.damping)
        if self.floor:
            importance = importance.clamp(min=0)
        return State(theta.clone(), importance, state.side, torch.zeros_like(theta))

    def evaluate_at(self, state: State, theta: Tensor) -> Tensor:
        return theta


@dataclass(frozen=True)
class ALASSO:
    """Asymmetric loss approximation with single-side overestimation (Park et al. 2019), equations (4)–(11).

    The defaults are the paper's formulas to the letter but for the floor (*paper*). `published()` gives what the
    authors' code does (github.com/dmpark04/alasso). Where they differ there is a field here, and the book's page of
    deviations says why.

    Before the first task the past is empty: Ω̂ = 0, and the anchor is the initialisation. Equation (5) then leaves
    ε (θ − θ̂⁰)² on one side, in both settings, as in the authors' code.
    """

    entrywise: ClassVar[bool] = True

    c: float = 1.0
    """Weight of the past in the training loss (6)."""
    a: float = 3.0
    """Overestimation of the unobserved side in the training loss (5)."""
    c_prime: float = 1.0
    """c′, the decoupled c of (11). The paper gives no value; 1 is the authors' code's."""
    a_prime: float = 1.0
    """a′, the decoupled a of (11). The paper gives no value; 1 is the authors' code's."""
    epsilon: float = 1e-6
    """ε of (5) in the training loss. The paper says "a small number"; 1e-6 is the authors' code's."""
    epsilon_prime: float = 1e-6
    """ε of (5) in (11)."""
    damping: float = 0.0
    """ξ in the denominator of (7), or of (3) where that is the estimate; in units of a squared parameter."""
    keep_maximum: bool = False
    """Never let Ω̂ fall: max(new, previous). Otherwise (7) replaces it."""
    floor: bool = True
    """Set an estimate below zero to 0, where it replaces Ω̂; False: (7) as it is."""
    perfect: bool = True
    """Estimate Ω̂ by (7); otherwise by SI's (3), the ablation without the perfect Ω̂ of Figure 5."""
    fixed_side: bool = False
    """Give an unmoved parameter, and any with Ω̂ ≤ 0, a fixed observed side. Otherwise α = 0 where nothing moved, and
    (5) overestimates both sides."""

    def __post_init__(self):
        for name in ("a", "a_prime"):
            value = getattr(self, name)
            require(0 < value < float("inf"), name, value, "a finite number > 0")
        for name in ("c", "c_prime", "epsilon", "epsilon_prime", "damping"):
            value = getattr(self, name)
            require(0 <= value < float("inf"), name, value, "a finite number ≥ 0")

    @classmethod
    def published(cls) -> "ALASSO":
        """What the authors' code does on permuted MNIST (`permuted_mnist/train.py`, `alasso/protocols.py`)."""
        return cls(a=1.8, epsilon_prime=0.0, damping=0.1, keep_maximum=True, fixed_side=True)

    def init(self, theta: Tensor, task) -> State:
        return initial_state(theta)

    def train_at(self, state: State, theta: Tensor, network, generator) -> tuple[Tensor, float]:
        return theta, 1.0

    def penalty(self, state: State, theta: Tensor) -> Tensor:
        past = formulas.asymmetric_surrogate(theta, state.anchor, state.importance, state.side, self.a, self.epsilon)
        return self.c * past.sum()

    def gradient(self, state: State, theta: Tensor) -> Tensor:
        return self.c * formulas.asymmetric_surrogate_gradient(
            theta, state.anchor, state.importance, state.side, self.a, self.epsilon
        )

    def observe(self, state: State, g: Tensor, delta: Tensor) -> State:
        return state._replace(path_integral=formulas.path_integral_step(state.path_integral, g, delta))

    def consolidate(self, state: State, theta: Tensor, network, task, generator) -> State:
        displacement = theta - state.anchor
        if self.perfect:
            past = formulas.asymmetric_surrogate(
                theta, state.anchor, state.importance, state.side, self.a_prime, self.epsilon_prime
            )
            past_drop = formulas.drop_of_the_past(past, self.c_prime)
            importance = formulas.perfect_importance(state.path_integral, past_drop, displacement, self.damping)
        else:
            importance = formulas.si_importance(state.path_integral, displacement, state.importance, self.damping)
        # (7) is 0/0 for a parameter whose squared move is zero in floating point: nothing was learned about it.
        moved = displacement**2 + self.damping > 0
        importance = torch.where(moved, importance, state.importance)
        if self.keep_maximum:
            importance = torch.maximum(importance, state.importance)
        elif self.floor:
            importance = importance.clamp(min=0)
        side = -displacement.sign()
        if self.fixed_side:
            side = _fixed_side(side, importance)
        return State(theta.clone(), importance, side, torch.zeros_like(theta))

    def evaluate_at(self, state: State, theta: Tensor) -> Tensor:
        return theta


def _fixed_side(side: Tensor, importance: Tensor) -> Tensor:
    """The authors' code keeps the side in the sign of Ω̂, so −1 if unmoved, and +1 where Ω̂ = 0 has no sign."""
    return torch.where(importance > 0, torch.where(side == 0, -1.0, side), 1.0)
