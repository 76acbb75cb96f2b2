"""The chapters' derivations, with the package's own formulas called on SymPy's symbols instead of tensors."""

import pytest
import sympy as sp

from alasso import formulas

omega, h, c, share = sp.symbols("Omega h c s", positive=True)
theta, p, m = sp.symbols("theta p m", real=True)


def new_task(at):
    return h * (at - m) ** 2


def past(at):
    return formulas.quadratic_surrogate(at, p, omega)


(optimum,) = sp.solve(sp.diff(formulas.total_loss(new_task(theta), past(theta), c), theta), theta)


def perfect(end, drop):
    """Equation (7) for a parameter that went from p to this end and brought about this drop of the task's loss."""
    return formulas.perfect_importance(drop, formulas.drop_of_the_past(past(end), c), end - p, damping=0)


def is_zero(expression) -> bool:
    return sp.simplify(expression) == 0


def test_the_path_integral_of_the_example_holds_the_past_twice():
    drop = new_task(p) - new_task(optimum)
    assert is_zero(drop / (optimum - p) ** 2 - (2 * c * omega + h))


def test_7_is_the_curvature_of_the_sum_of_two_parabolas():
    curvature = sp.diff(new_task(theta) + c * past(theta), theta, 2) / 2
    assert is_zero(perfect(optimum, new_task(p) - new_task(optimum)) - curvature)


def test_a14_has_another_factor_than_the_right_one():
    q = optimum.subs(c, 1)
    drop = (new_task(p) - new_task(q)) / (q - p) ** 2
    supplement = new_task(q) / past(q)
    assert is_zero(supplement - omega / h)
    assert not is_zero(drop + supplement * omega - (omega + h))
    assert is_zero(drop - omega - (omega + h))


def test_a15_holds_for_any_loss_once_a13_has_its_constant():
    loss, end = sp.Function("L"), sp.symbols("q", real=True)
    constant = formulas.total_loss(loss(end), past(end), c)
    demanded = (formulas.total_loss(loss(p), past(p), c) - constant) / (p - end) ** 2
    assert is_zero(perfect(end, loss(p) - loss(end)) - demanded)


@pytest.mark.parametrize("part", [sp.Rational(1, 10), sp.Rational(1, 2), 1, 2])
def test_training_that_stops_early_or_late_estimates_another_curvature(part):
    end = p + part * (optimum - p)
    estimate = perfect(end, new_task(p) - new_task(end))
    assert is_zero(estimate - (c * omega + h) * (2 - part) / part)
