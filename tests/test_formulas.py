"""The equations against automatic differentiation, scalar arithmetic and their own limits."""

import itertools

import pytest
import torch

from alasso import formulas as f
from alasso.tasks import generator

P = 200


@pytest.fixture
def past():
    """theta, anchor, previous, importance: random, with some parameters at their anchor and some that never moved."""
    random = torch.Generator().manual_seed(1)
    theta, anchor, previous = torch.randn(3, P, generator=random, dtype=torch.float64)
    theta[:10] = anchor[:10]
    previous[5:15] = anchor[5:15]
    return theta, anchor, previous, torch.rand(P, generator=random, dtype=torch.float64)


def asymmetric_by_hand(theta, anchor, previous, importance, a, epsilon):
    """Equations (4) and (5) for one parameter, in plain Python, with θ̂ⁿ⁻¹ itself rather than a side."""
    alpha = (theta - anchor) * (previous - anchor)
    curvature = importance if alpha > 0 else a * importance + epsilon
    return curvature * (theta - anchor) ** 2


def test_7_without_damping_has_no_value_where_nothing_moved():
    drop, nothing = torch.tensor([1.0, -1.0, 0.0]), torch.zeros(3)
    assert f.perfect_importance(drop, nothing, nothing, damping=0.0)[:2].tolist() == [float("inf"), -float("inf")]
    assert f.perfect_importance(drop, nothing, nothing, damping=0.0)[2].isnan()


def test_4_and_5_follow_the_paper_letter_by_letter(past):
    theta, anchor, previous, importance = past
    surrogate = f.asymmetric_surrogate(theta, anchor, importance, (previous - anchor).sign(), 3.0, 1e-2)
    by_hand = [asymmetric_by_hand(*values, 3.0, 1e-2) for values in zip(*(t.tolist() for t in past), strict=True)]
    torch.testing.assert_close(surrogate, torch.tensor(by_hand, dtype=torch.float64))


def test_gradients_of_2_and_5_are_those_of_autograd(past):
    theta, anchor, previous, importance = past
    side = (previous - anchor).sign()
    leaf = theta.clone().requires_grad_()
    (expected,) = torch.autograd.grad(f.quadratic_surrogate(leaf, anchor, importance).sum(), leaf)
    torch.testing.assert_close(f.quadratic_surrogate_gradient(theta, anchor, importance), expected)
    (expected,) = torch.autograd.grad(f.asymmetric_surrogate(leaf, anchor, importance, side, 3.0, 0.1).sum(), leaf)
    torch.testing.assert_close(f.asymmetric_surrogate_gradient(theta, anchor, importance, side, 3.0, 0.1), expected)


def test_5_at_a_1_without_floor_is_the_symmetric_quadratic(past):
    theta, anchor, previous, importance = past
    for side in ((previous - anchor).sign(), torch.zeros(P, dtype=torch.float64)):
        asymmetric = f.asymmetric_surrogate(theta, anchor, importance, side, a=1.0, epsilon=0.0)
        assert torch.equal(asymmetric, f.quadratic_surrogate(theta, anchor, importance))


def test_5_overestimates_both_sides_where_alpha_is_zero():
    one = torch.ones(2)
    surrogate = f.asymmetric_surrogate(torch.tensor([-1.0, 1.0]), 0 * one, 2 * one, side=0 * one, a=3.0, epsilon=0.5)
    assert surrogate.tolist() == [6.5, 6.5]


def test_7_is_the_quadratic_through_both_ends(past):
    """With (7), the surrogate (2) rises from 0 at θ̂ⁿ to ωⁿ + ω^{1:n−1} at θ̂ⁿ⁻¹: what makes it perfect."""
    theta, anchor, _, _ = past
    moved = theta != anchor
    drop = torch.rand(P, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    importance = f.perfect_importance(drop, -0.25 * drop, theta - anchor, damping=0.0)
    at_previous = f.quadratic_surrogate(anchor, theta, importance)
    torch.testing.assert_close(at_previous[moved], 0.75 * drop[moved])


def test_3_keeps_what_it_knows_of_a_parameter_that_did_not_move():
    importance = f.si_importance(torch.tensor([3.0, 0.0]), torch.tensor([2.0, 0.0]), torch.tensor([1.0, 5.0]), 0.0)
    assert importance.tolist() == [1.75, 5.0]


def test_3_and_7_agree_for_the_first_task(past):
    theta, anchor, _, drop = past
    nothing = torch.zeros_like(drop)
    si = f.si_importance(drop, theta - anchor, nothing, damping=0.1)
    torch.testing.assert_close(si, f.perfect_importance(drop, f.drop_of_the_past(nothing, 1.0), theta - anchor, 0.1))


def test_11_is_c_times_the_change_of_the_surrogate(past):
    theta, anchor, previous, importance = past

    def surrogate(at):
        return f.asymmetric_surrogate(at, anchor, importance, (previous - anchor).sign(), 2.0, 0.1)

    torch.testing.assert_close(
        f.drop_of_the_past(surrogate(theta), 0.7), 0.7 * (surrogate(anchor) - surrogate(theta)), rtol=0, atol=0
    )


def test_1_6_9_weigh_the_past_by_c():
    assert f.total_loss(torch.tensor(2.0), torch.tensor(3.0), 0.5) == 3.5


def test_10_the_path_integral_is_the_drop_of_the_loss():
    """Midpoint gradients integrate a quadratic exactly, along any path, split by parameter."""
    curvature, centre = torch.tensor([[1.0, 4.0], [2.0, -1.0]], dtype=torch.float64)
    path = torch.randn(50, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    omega = torch.zeros(2, dtype=torch.float64)
    for here, there in itertools.pairwise(path):
        omega = f.path_integral_step(omega, 2 * curvature * ((here + there) / 2 - centre), there - here)
    loss = curvature * (path - centre) ** 2
    torch.testing.assert_close(omega, loss[0] - loss[-1])


def test_what_nothing_has_moved_is_its_own_joint_anchor_to_the_bit():
    theta = torch.randn(1000, generator=generator(0, "theta"))
    old, own = torch.rand(2, 1000, generator=generator(0, "weights"))
    assert torch.equal(f.joint_anchor(old, theta, own, theta), theta)
