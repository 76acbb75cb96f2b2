"""The methods that ALASSO is compared with, on the contract of surrogates.py; see there for what each function does.

λ and c are not comparable between papers: here c multiplies Σ Ω (θ − θ̂)² without a ½, losses are means over a batch,
and importances are means over images.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from alasso import formulas
from alasso.errors import require
from alasso.importance import FISHERS, fisher, mas_sensitivity
from alasso.surrogates import State, initial_state


@dataclass(frozen=True)
class EWC:
    """Elastic weight consolidation (Kirkpatrick et al. 2017, equation 3): one quadratic for each task.

    Their sum is one quadratic about a joint anchor, so memory does not grow. c = λ/2. With `online` it is online EWC
    (Schwarz et al. 2018): one quadratic about the latest parameters, whose weight fades by `decay`. With
    λ = γ = 1 online EWC is exact on separable quadratic losses; the sum over tasks is for two, and then counts the
    first again (Huszár 2018).

    Deviation: γ multiplies the old weights when a task ends. Where it multiplies them in the penalty too, c = γλ/2.
    """

    c: float = 50.0
    """λ/2; λ = 100 is what the code of van de Ven, Tuytelaars and Tolias 2022 has for permuted MNIST."""
    fisher: str = "sampled"
    """Which Fisher information: empirical, sampled or exact, see importance.py."""
    online: bool = False
    """Anchor at the latest parameters rather than at the joint minimum of all tasks' quadratics."""
    decay: float = 1.0
    """γ: what is left of the old weights after one task; without `online`, of the old quadratics."""

    def __post_init__(self):
        require(0 <= self.c < float("inf"), "c", self.c, "a finite number ≥ 0")
        require(0 <= self.decay <= 1, "decay", self.decay, "a number from 0 to 1")
        require(self.fisher in FISHERS, "fisher", self.fisher, f"one of {', '.join(FISHERS)}")

    def init(self, theta: Tensor, task) -> State:
        return initial_state(theta)

    def train_at(self, state: State, theta: Tensor, network, generator) -> tuple[Tensor, float]:
        return theta, 1.0

    def penalty(self, state: State, theta: Tensor) -> Tensor:
        return self.c * formulas.quadratic_surrogate(theta, state.anchor, state.importance).sum()

    def gradient(self, state: State, theta: Tensor) -> Tensor:
        return self.c * formulas.quadratic_surrogate_gradient(theta, state.anchor, state.importance)

    def observe(self, state: State, g: Tensor, delta: Tensor) -> State:
        return state

    def consolidate(self, state: State, theta: Tensor, network, task, generator) -> State:
        own, old = fisher(network, theta, task, self.fisher, generator), self.decay * state.importance
        anchor = theta.clone() if self.online else formulas.joint_anchor(old, state.anchor, own, theta)
        return state._replace(anchor=anchor, importance=old + own)

    def evaluate_at(self, state: State, theta: Tensor) -> Tensor:
        return theta


@dataclass(frozen=True)
class MAS:
    """Memory aware synapses (Aljundi et al. 2018, equations 2 and 3): weights by the sensitivity of ‖f(x)‖².

    They are summed over tasks; the anchor is the latest solution.

    f are the logits of the task's own classes. No label is used.
    """

    c: float = 0.01
    """λ. GT-RIPL (Hsu et al. 2018) has 0.1 with shared outputs; its ‖f(x)‖² is a mean over ten, here a sum."""

    def __post_init__(self):
        require(0 <= self.c < float("inf"), "c", self.c, "a finite number ≥ 0")

    def init(self, theta: Tensor, task) -> State:
        return initial_state(theta)

    def train_at(self, state: State, theta: Tensor, network, generator) -> tuple[Tensor, float]:
        return theta, 1.0

    def penalty(self, state: State, theta: Tensor) -> Tensor:
        return self.c * formulas.quadratic_surrogate(theta, state.anchor, state.importance).sum()

    def gradient(self, state: State, theta: Tensor) -> Tensor:
        return self.c * formulas.quadratic_surrogate_gradient(theta, state.anchor, state.importance)

    def observe(self, state: State, g: Tensor, delta: Tensor) -> State:
        return state

    def consolidate(self, state: State, theta: Tensor, network, task, generator) -> State:
        return state._replace(anchor=theta.clone(), importance=state.importance + mas_sensitivity(network, theta, task))

    def evaluate_at(self, state: State, theta: Tensor) -> Tensor:
        return theta


class IMMState(NamedTuple):
    """The last task's own parameters, the sum of all tasks' merging weights, and the merge so far; (P,) each."""

    anchor: Tensor
    importance: Tensor
    merged: Tensor


@dataclass(frozen=True)
class IMM:
    """Incremental moment matching (Lee et al. 2017): train on from task to task, then test a merge of all solutions.

    The merge is their mean, or the mode of the product of their Gaussians, which weighs each by its Fisher information.
    Three transfers keep the solutions near each other: weights (each task starts where the last one ended; always), L2
    (a pull to the last task's solution) and drop (dropout that falls back on the last task's weights instead of zero).
    All tasks have the same mixing ratio 1/n, the authors' code's default, which needs no data to tune it.

    Deviation: drop-transfer switches nodes off for a batch rather than for each image. The authors' code differs in
    more, see the book's page on IMM.
    """

    c: float = 1e-4
    """Weight of L2-transfer, λ of the authors' code (btjhjeon/IMM_tensorflow); 0: none."""
    mode: bool = False
    """Merge to the mode rather than to the mean."""
    drop: bool = True
    """Drop-transfer, with .2 of the inputs and .5 of the hidden nodes off, the authors' shares."""

    def __post_init__(self):
        require(0 <= self.c < float("inf"), "c", self.c, "a finite number ≥ 0")

    def init(self, theta: Tensor, task) -> IMMState:
        # About zero: in the first task drop-transfer is ordinary dropout, and weight 0 switches L2-transfer off.
        zeros = torch.zeros_like(theta)
        return IMMState(zeros, zeros, zeros)

    def train_at(self, state: IMMState, theta: Tensor, network, generator) -> tuple[Tensor, float | Tensor]:
        """Equation 11: θ̂ₙ₋₁ where a node is off, θ̂ₙ₋₁ + (θ − θ̂ₙ₋₁)/keep where it is on."""
        if not self.drop:
            return theta, 1.0
        scale = network.node_scale((0.2, 0.5), generator).to(theta)
        return state.anchor + scale * (theta - state.anchor), scale

    def penalty(self, state: IMMState, theta: Tensor) -> Tensor:
        past = (state.importance > 0).to(theta)
        return self.c * formulas.quadratic_surrogate(theta, state.anchor, past).sum()

    def gradient(self, state: IMMState, theta: Tensor) -> Tensor:
        past = (state.importance > 0).to(theta)
        return self.c * formulas.quadratic_surrogate_gradient(theta, state.anchor, past)

    def observe(self, state: IMMState, g: Tensor, delta: Tensor) -> IMMState:
        return state

    def consolidate(self, state: IMMState, theta: Tensor, network, task, generator) -> IMMState:
        own = torch.ones_like(theta)
        if self.mode:
            own = fisher(network, theta, task, "sampled", generator) + 1e-8  # the authors' code has it
        merged = formulas.joint_anchor(state.importance, state.merged, own, theta)
        return IMMState(theta.clone(), state.importance + own, merged)

    def evaluate_at(self, state: IMMState, theta: Tensor) -> Tensor:
        return state.merged


class VCLState(NamedTuple):
    """The last task's posterior, (2P,), which is the next task's prior, and the number of images of a task, 0-D."""

    anchor: Tensor
    images: Tensor


@dataclass(frozen=True)
class VCL:
    """Variational continual learning (Nguyen et al. 2018), mean field, no coreset: the last posterior is the new prior.

    θ holds the means and log-variances of a Gaussian for each weight (networks.MeanFieldMLP), and the loss of the task
    is taken at one draw. The first prior is N(0, 1). The means start from a maximum-likelihood fit to the first task.

    N, the number of images, is that of the first task for all: tasks must be of equal size, as permuted ones are.
    """

    c: float = 1.0
    """Weight of KL/N in the mean loss; 1 is Bayes' rule, equation 4."""

    def __post_init__(self):
        require(0 <= self.c < float("inf"), "c", self.c, "a finite number ≥ 0")

    def init(self, theta: Tensor, task) -> VCLState:
        return VCLState(torch.zeros_like(theta), theta.new_tensor(task.epoch_size))

    def train_at(self, state: VCLState, theta: Tensor, network, generator) -> tuple[Tensor, float]:
        return theta, 1.0

    def penalty(self, state: VCLState, theta: Tensor) -> Tensor:
        return self.c * formulas.gaussian_kl(theta, state.anchor).sum() / state.images

    def gradient(self, state: VCLState, theta: Tensor) -> Tensor:
        return self.c * formulas.gaussian_kl_gradient(theta, state.anchor) / state.images

    def observe(self, state: VCLState, g: Tensor, delta: Tensor) -> VCLState:
        return state

    def consolidate(self, state: VCLState, theta: Tensor, network, task, generator) -> VCLState:
        return state._replace(anchor=theta.clone())

    def evaluate_at(self, state: VCLState, theta: Tensor) -> Tensor:
        return theta
