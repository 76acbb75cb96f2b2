"""EWC, MAS and IMM against memories kept one by one and closed forms."""

from types import SimpleNamespace

import pytest
import torch
from training import trained

from alasso import importance, quadratics, rivals
from alasso.networks import MLP, accuracy, loss_and_gradient, pixels
from alasso.rivals import EWC, IMM, MAS
from alasso.surrogates import NoSurrogate
from alasso.tasks import generator

TASK = SimpleNamespace(epoch_size=40)


@pytest.fixture
def solutions():
    """Five tasks' θ and Fisher information, (5, 50) each; some weights matter to no task, some not to all."""
    random = generator(0, "solutions")
    thetas = torch.randn(5, 50, generator=random, dtype=torch.float64)
    fishers = torch.rand(5, 50, generator=random, dtype=torch.float64)
    fishers[:, :5] = 0
    fishers[torch.rand(5, 50, generator=random) < 0.2] = 0
    return thetas, fishers


def after(surrogate, thetas, fishers, monkeypatch):
    """The State after tasks that ended at these θ with this Fisher information."""
    given = iter(fishers)
    monkeypatch.setattr(rivals, "fisher", lambda *_: next(given))
    state = surrogate.init(torch.zeros_like(thetas[0]), TASK)
    for theta in thetas:
        state = surrogate.consolidate(state, theta, None, None, None)
    return state


# EWC


@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_ewcs_one_quadratic_is_that_of_one_quadratic_per_task(decay, solutions, monkeypatch):
    surrogate, (thetas, fishers) = EWC(c=3.0, decay=decay), solutions
    for tasks in range(1, 6):
        state = after(surrogate, thetas[:tasks], fishers, monkeypatch)
        fading = decay ** torch.arange(tasks - 1, -1, -1)[:, None]

        def one_by_one(theta, n=tasks, fading=fading):
            return 3.0 * (fading * fishers[:n] * (theta - thetas[:n]) ** 2).sum()

        here, there = torch.randn(2, 50, generator=generator(1, tasks), dtype=torch.float64)
        gradient = torch.func.grad(one_by_one)(here)
        torch.testing.assert_close(surrogate.gradient(state, here), gradient)
        difference = one_by_one(here) - one_by_one(there)  # the quadratics' sum is one quadratic up to a constant
        torch.testing.assert_close(surrogate.penalty(state, here) - surrogate.penalty(state, there), difference)


def optima_and_trajectory(surrogate, monkeypatch):
    """Separable quadratic tasks h(θ − m)², each trained to the optimum of its total loss: those of L¹ + … + Lⁿ, and θ̂ⁿ.

    The Fisher information is the true curvature h. Past losses fade as the surrogate's decay says.
    """
    h, m, _ = quadratics.stream(6, 50, 0)
    curvatures = iter(h)
    monkeypatch.setattr(rivals, "fisher", lambda *_: next(curvatures))
    theta = torch.zeros(50, dtype=torch.float64)
    state, optima, trajectory = surrogate.init(theta, TASK), [], []
    for n in range(6):
        # Newton's step is exact; the penalty's curvature is what its gradient gains over a unit.
        slope = surrogate.gradient(state, theta)
        curvature = surrogate.gradient(state, theta + 1) - slope
        theta = theta - (2 * h[n] * (theta - m[n]) + slope) / (2 * h[n] + curvature)
        state = surrogate.consolidate(state, theta, None, None, None)
        weights = h[: n + 1] * surrogate.decay ** torch.arange(n, -1, -1)[:, None]
        optima.append((weights * m[: n + 1]).sum(0) / weights.sum(0))
        trajectory.append(theta)
    return torch.stack(optima), torch.stack(trajectory)


@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_online_ewc_with_the_true_curvature_is_exact_on_separable_quadratics(decay, monkeypatch):
    """With decay the loss of a task k tasks ago counts γᵏ; c = γ is for the last one's (γF in Schwarz et al.)."""
    optima, trajectory = optima_and_trajectory(EWC(c=decay, online=True, decay=decay), monkeypatch)
    torch.testing.assert_close(trajectory, optima)


def test_a_quadratic_per_task_is_exact_for_two_tasks_and_drifts_from_the_third(monkeypatch):
    """Huszár 2018: the second solution is a compromise already, and its own quadratic counts the first task twice."""
    optima, trajectory = optima_and_trajectory(EWC(c=1.0), monkeypatch)
    torch.testing.assert_close(trajectory[:2], optima[:2])
    for n in range(2, len(optima)):
        assert (trajectory[n] - optima[n]).abs().median() > 1e-2


@pytest.mark.parametrize("variant", importance.FISHERS)
def test_ewc_takes_the_fisher_information_that_it_names(variant, network, stream):
    theta = network.init(generator(0, "theta"))
    surrogate = EWC(fisher=variant)
    state = surrogate.consolidate(surrogate.init(theta, stream[0]), theta, network, stream[0], generator(1))
    every = {v: importance.fisher(network, theta, stream[0], v, generator(1)) for v in importance.FISHERS}
    assert [v for v in every if torch.equal(state.importance, every[v])] == [variant]


# MAS


def test_mas_adds_up_sensitivities_and_is_anchored_at_the_last_solution(network, stream):
    thetas = [network.init(generator(seed, "theta")) for seed in range(3)]
    state = MAS().init(thetas[0], stream[0])
    for theta, task in zip(thetas, stream, strict=True):
        state = MAS().consolidate(state, theta, network, task, None)
    each = [importance.mas_sensitivity(network, theta, task) for theta, task in zip(thetas, stream, strict=True)]
    torch.testing.assert_close(state.importance, sum(each))
    assert torch.equal(state.anchor, thetas[-1])


# IMM


def test_mean_imm_is_the_mean_of_the_solutions(solutions, monkeypatch):
    thetas, fishers = solutions
    state = after(IMM(), thetas, fishers, monkeypatch)
    torch.testing.assert_close(IMM().evaluate_at(state, thetas[-1]), thetas.mean(0))


def test_mode_imm_weighs_the_solutions_by_fisher_information(solutions, monkeypatch):
    thetas, fishers = solutions
    surrogate = IMM(mode=True)
    merged = surrogate.evaluate_at(after(surrogate, thetas, fishers, monkeypatch), thetas[-1])
    torch.testing.assert_close(merged[5:], ((fishers * thetas).sum(0) / fishers.sum(0))[5:], rtol=0, atol=1e-6)
    torch.testing.assert_close(merged[:5], thetas[:, :5].mean(0))  # nobody's weights


def test_mode_imm_merges_quadratic_tasks_to_the_minimum_of_their_sum_and_the_mean_does_not(monkeypatch):
    h = torch.rand(4, 50, generator=generator(0, "h"), dtype=torch.float64) + 0.1
    m = torch.randn(4, 50, generator=generator(0, "m"), dtype=torch.float64)

    def slope(surrogate):
        merged = after(surrogate, m, h, monkeypatch).merged
        return torch.func.grad(lambda theta: (h * (theta - m) ** 2).sum())(merged).abs()

    assert slope(IMM(mode=True)).max() < 1e-6
    assert slope(IMM()).median() > 0.1


def test_imm_tests_the_merge_and_trains_on_from_the_last_solution(network, stream):
    tested, caught, _ = trained(network, IMM(c=0.0, drop=False), stream)
    _, plain, _ = trained(network, NoSurrogate(), stream)
    assert caught[-1].equal(plain[-1])
    for n, seen in enumerate(tested):
        mean = torch.stack(caught[: n + 1]).mean(0)
        assert seen == pytest.approx([accuracy(network, mean, *task.test()) for task in stream[: n + 1]])
    assert tested[-1] != [accuracy(network, caught[-1], *task.test()) for task in stream]


@pytest.fixture
def second_task(network):
    """θ in the second task of drop-transfer, and its State."""
    theta, anchor = torch.randn(2, network.size, generator=generator(0, "second task"), dtype=torch.float64)
    return theta, IMM().init(theta, TASK)._replace(anchor=anchor, importance=torch.ones_like(theta))


def test_drop_transfer_falls_back_node_by_node(network, second_task):
    theta, state = second_task
    at, _ = IMM().train_at(state, theta, network, generator(1))
    layers = zip(network.layers(at), network.layers(theta), network.layers(state.anchor), (0.8, 0.5), strict=True)
    for (weight, bias), (own, own_bias), (last, _), keep in layers:
        off = (weight == last).all(0)
        assert 0 < off.sum() < len(off)
        torch.testing.assert_close(weight[:, ~off], (last + (own - last) / keep)[:, ~off])
        torch.testing.assert_close(bias, own_bias)


def test_drop_transfer_is_unbiased(network, second_task):
    theta, state = second_task
    draws, random = 4000, generator(2)
    mean = sum(IMM().train_at(state, theta, network, random)[0] for _ in range(draws)) / draws
    # a hidden node's factor is 0 or 2: its standard deviation is 1, an input's is a half
    standard_error = (theta - state.anchor).abs() / draws**0.5
    assert ((mean - theta).abs() <= 5 * standard_error + 1e-9).all()


def test_drop_transfers_scale_is_its_derivative(network, stream, second_task):
    theta, state = second_task
    images, y = stream[0].train()
    x = pixels(images).double()
    leaf = theta.clone().requires_grad_()
    at, scale = IMM().train_at(state, leaf, network, generator(1))
    (expected,) = torch.autograd.grad(torch.nn.functional.cross_entropy(network.logits(at, x), y), leaf)
    _, g = loss_and_gradient(network, at, x, y)
    torch.testing.assert_close(scale * g, expected)


def test_in_the_first_task_drop_transfer_is_dropout(network):
    theta = network.init(generator(0, "theta")) + 0.1
    x = torch.rand(1, 9, generator=generator(0, "x"))  # one image: drop-transfer's nodes are off for a whole batch
    state, dropout = IMM().init(theta, TASK), MLP(network.sizes, dropout=(0.2, 0.5))
    for draw in range(20):
        at, _ = IMM().train_at(state, theta, network, generator(draw))
        torch.testing.assert_close(
            network.logits(at, x), dropout.logits(theta, x, dropout.noise(len(x), generator(draw)))
        )


def test_without_drop_transfer_the_loss_is_taken_at_theta(network, second_task):
    theta, state = second_task
    assert IMM(drop=False).train_at(state, theta, network, generator(1)) == (theta, 1.0)


@pytest.mark.parametrize("mode", [False, True])
def test_l2_transfer_pulls_to_the_last_solution_from_the_second_task_on(mode, solutions, monkeypatch):
    thetas, fishers = solutions
    surrogate = IMM(c=2.0, mode=mode)
    theta = torch.randn(50, generator=generator(0, "here"), dtype=torch.float64)
    first = surrogate.init(theta, TASK)
    assert not surrogate.gradient(first, theta).any()
    assert surrogate.penalty(first, theta) == 0
    later = after(surrogate, thetas, fishers, monkeypatch)
    expected = torch.func.grad(lambda at: 2.0 * ((at - thetas[-1]) ** 2).sum())(theta)
    torch.testing.assert_close(surrogate.gradient(later, theta), expected)


@pytest.mark.parametrize("surrogate", [EWC(), EWC(fisher="exact", online=True), IMM(mode=True)], ids=str)
def test_fisher_information_is_taken_at_the_solution(surrogate, network, stream):
    start, theta = (network.init(generator(seed, "theta")) for seed in range(2))
    state = surrogate.consolidate(surrogate.init(start, stream[0]), theta, network, stream[0], generator(1))
    variant = getattr(surrogate, "fisher", "sampled")
    expected = importance.fisher(network, theta, stream[0], variant, generator(1))
    torch.testing.assert_close(state.importance, expected, rtol=1e-5, atol=2e-8)
