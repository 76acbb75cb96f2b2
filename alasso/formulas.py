"""The equations of the paper, one function each, on flat parameter vectors.

Park, Hong, Han, Lee: Continual Learning by Asymmetric Loss Approximation with Single-Side Overestimation. ICCV 2019.
Zenke, Poole, Ganguli: Continual Learning Through Synaptic Intelligence. ICML 2017.

=========  ================  ======  ==============================================================================
symbol     name              shape   meaning
=========  ================  ======  ==============================================================================
θ          theta             (P,)    all trainable parameters
θ̂ⁿ         anchor            (P,)    parameters at the end of the last task
θ̂ⁿ⁻¹       previous          (P,)    parameters at the end of the task before
θ̂ⁿ − θ̂ⁿ⁻¹  displacement      (P,)    how far the last task moved them
Ω̂ⁿ         importance        (P,)    curvature of the surrogate, ≥ 0 but for settings without a floor
sgn        side              (P,)    sign of θ̂ⁿ⁻¹ − θ̂ⁿ: where training came from, +1 above the anchor, −1 below
ωⁿ         path_integral     (P,)    per-parameter drop of the task's loss over its training
ω^{1:n−1}  past_drop         (P,)    per-parameter drop of the past's surrogate over that training, ≤ 0 where Ω̂ ≥ 0
c, a, ε    c, a, epsilon     scalar  weight of the past; overestimation; least curvature of the unseen side
ξ          damping           scalar  keeps the denominator from zero; SI's, and in the authors' code of ALASSO
=========  ================  ======  ==============================================================================

(8), Lₛⁿ(θ̂ⁿ) = 0, is an identity of (2) and (5), not a computation. (1), (6) and (9) are one sum, read three ways.
Every function but the KL divergence broadcasts, keeps dtype and device, allocates its result and changes no argument.
"""

import torch
from torch import Tensor


def total_loss(task_loss: Tensor, surrogate: Tensor, c: float) -> Tensor:
    """L̃ⁿ = Lⁿ + c Lₛⁿ⁻¹, equations (1) with (2), and (6) with (5); as the definition of the next surrogate, (9)."""
    return task_loss + c * surrogate


def quadratic_surrogate(theta: Tensor, anchor: Tensor, importance: Tensor) -> Tensor:
    """Lₛ(θₖ) = Ω̂ₖ (θₖ − θ̂ₖ)², equation (2). Per parameter, (P,)."""
    return importance * (theta - anchor) ** 2


def quadratic_surrogate_gradient(theta: Tensor, anchor: Tensor, importance: Tensor) -> Tensor:
    """Derivative of (2) with respect to θ, (P,)."""
    return 2 * importance * (theta - anchor)


def si_importance(path_integral: Tensor, displacement: Tensor, importance: Tensor, damping: float) -> Tensor:
    """SI's estimate Ω̂ⁿ ≈ ωⁿ / ((θ̂ⁿ − θ̂ⁿ⁻¹)² + ξ) + Ω̂ⁿ⁻¹, equation (3); ξ as in Zenke et al., equation (5).

    Where the denominator is zero nothing was observed, and Ω̂ⁿ⁻¹ stays.
    """
    denominator = displacement**2 + damping
    return importance + torch.where(denominator > 0, path_integral / denominator, 0.0)


def observed_side(theta: Tensor, anchor: Tensor, side: Tensor) -> Tensor:
    """α(θₖ) = (θₖ − θ̂ₖⁿ)(θ̂ₖⁿ⁻¹ − θ̂ₖⁿ), equation (4), up to a positive factor: only the sign of α is ever used.

    Positive where θₖ lies on the side that training came from, the observed side.
    """
    return (theta - anchor) * side


def asymmetric_curvature(
    theta: Tensor, anchor: Tensor, importance: Tensor, side: Tensor, a: float, epsilon: float
) -> Tensor:
    """Ω̂ₖ where α(θₖ) > 0, a Ω̂ₖ + ε elsewhere: the coefficient in (5), (P,)."""
    return torch.where(observed_side(theta, anchor, side) > 0, importance, a * importance + epsilon)


def asymmetric_surrogate(
    theta: Tensor, anchor: Tensor, importance: Tensor, side: Tensor, a: float, epsilon: float
) -> Tensor:
    """Lₛ(θₖ; a), equation (5): a quadratic in two pieces, steeper on the side nobody saw. Per parameter, (P,)."""
    return asymmetric_curvature(theta, anchor, importance, side, a, epsilon) * (theta - anchor) ** 2


def asymmetric_surrogate_gradient(
    theta: Tensor, anchor: Tensor, importance: Tensor, side: Tensor, a: float, epsilon: float
) -> Tensor:
    """Derivative of (5) with respect to θ, (P,); continuous, since both pieces are flat where they meet."""
    return 2 * asymmetric_curvature(theta, anchor, importance, side, a, epsilon) * (theta - anchor)


def perfect_importance(path_integral: Tensor, past_drop: Tensor, displacement: Tensor, damping: float) -> Tensor:
    """Ω̂ⁿ = (ωⁿ + ω^{1:n−1}) / (θ̂ⁿ − θ̂ⁿ⁻¹)², equation (7), with ξ added to the denominator.

    Where a parameter did not move and ξ = 0, (7) has no value: this is ±∞ if the loss dropped or rose, NaN for 0/0, and
    the caller says what to do.
    """
    return (path_integral + past_drop) / (displacement**2 + damping)


def path_integral_step(path_integral: Tensor, gradient: Tensor, delta: Tensor) -> Tensor:
    """ωⁿ ← ωⁿ − g Δθ, the running estimate of ωⁿ = Lⁿ(θ̂ⁿ⁻¹) − Lⁿ(θ̂ⁿ), equation (10), split by parameter.

    g is the gradient of the task's loss **alone** and Δθ the step just taken, whatever moved it (Zenke et al., section
    3). With the gradient of the total loss, the drop of the past would be counted here and again in (11).
    """
    return path_integral - gradient * delta


def drop_of_the_past(surrogate: Tensor, c: float) -> Tensor:
    """ω^{1:n−1} = c (Lₛⁿ⁻¹(θ̂ⁿ⁻¹) − Lₛⁿ⁻¹(θ̂ⁿ)) = −c Lₛⁿ⁻¹(θ̂ⁿ), equation (11); the first term is zero by (8).

    Takes Lₛⁿ⁻¹(θ̂ⁿ) per parameter. Decoupled (section 4.4): c′ for c, and the surrogate evaluated with a′ for a.
    """
    return -c * surrogate


def joint_anchor(importance: Tensor, anchor: Tensor, more: Tensor, theta: Tensor) -> Tensor:
    """Where Ω(θ − θ̂)² + F(θ − θ*)² is lowest: (Ω θ̂ + F θ*) / (Ω + F), and θ* where both weights are zero.

    A sum of quadratics is one quadratic of weight Ω + F, up to a constant: EWC's penalties of all tasks in the memory
    of one. With F the Fisher information it is also the mode of the product of two Gaussians, IMM's merge
    (Lee et al. 2017, equations 7 and 8).
    """
    weight = importance + more
    # A lerp is exact at both ends: a rounding error here would be a pull on parameters that nothing has moved.
    return torch.where(weight > 0, theta.lerp(anchor, importance / weight), theta)


def gaussian_kl(theta: Tensor, prior: Tensor) -> Tensor:
    """KL(q ‖ p) of independent Gaussians, per parameter (P,); both arguments (2P,), means and then log-variances.

    ½ (log σₚ² − log σ² + (σ² + (μ − μₚ)²) / σₚ² − 1). Nguyen et al. 2018, equation 4, for the mean field.
    """
    (mean, log_variance), (prior_mean, prior_log_variance) = theta.chunk(2), prior.chunk(2)
    excess = (log_variance.exp() + (mean - prior_mean) ** 2) / prior_log_variance.exp()
    return 0.5 * (prior_log_variance - log_variance + excess - 1)


def gaussian_kl_gradient(theta: Tensor, prior: Tensor) -> Tensor:
    """Derivative of the KL divergence with respect to q's means and log-variances, (2P,)."""
    (mean, log_variance), (prior_mean, prior_log_variance) = theta.chunk(2), prior.chunk(2)
    precision = (-prior_log_variance).exp()
    return torch.cat([(mean - prior_mean) * precision, 0.5 * (log_variance.exp() * precision - 1)])
