"""Fisher information and MAS' sensitivity against autograd on one image after the other."""

from types import SimpleNamespace

import pytest
import torch

from alasso import importance
from alasso.datasets import Dataset
from alasso.importance import FISHERS, fisher, mas_sensitivity
from alasso.networks import CNN, MLP, _Flat, pixels
from alasso.tasks import PermutedTask, SplitTask, generator

NETWORKS = {  # with the shape of the images; the CNN enlarges its own from 6 × 6
    "mlp": (MLP((9, 8, 7, 4)), (9,)),
    "cnn": (CNN(8, ((2,), (3,)), 5, 4), (3, 6, 6)),
}
PROBLEMS = [pytest.param(*problem, id=name) for name, problem in NETWORKS.items()]


def problem_of(network, shape, split=True):
    """θ, biases and all, and a task: with four classes, or with only two of them and outputs 2 and 3 its own."""
    random = generator(0, "importance")
    images = torch.randint(0, 256, (45, *shape), generator=random, dtype=torch.uint8)
    labels = torch.randint(0, 4, (45,), generator=random)
    dataset = Dataset("four", images, labels, images, labels, ("a", "b", "c", "d"), "0" * 64)
    theta = network.init(random) + 0.1 * torch.randn(network.size, generator=random)
    return theta, SplitTask(1, dataset, (3, 0)) if split else PermutedTask(0, dataset, torch.arange(9))


def one_by_one(network, theta, images, scores, outputs, power):
    """Mean over images of Σ weight · |∂score/∂θ|ᵖ over that image's (weight, score), in double precision."""
    total = torch.zeros(network.size, dtype=torch.float64)
    for n, x in enumerate(pixels(images).double()):
        leaf = theta.double().requires_grad_()
        for weight, score in scores(n, network.logits(leaf, x[None])[0, outputs]):
            (gradient,) = torch.autograd.grad(score, leaf, retain_graph=True)
            total += weight * gradient.abs() ** power
    return (total / len(images)).float()


def fisher_one_by_one(network, theta, task, labels=None):
    """With these labels, or else the expectation over all."""

    def scores(n, logits):
        log_p = logits.log_softmax(0)
        if labels is None:
            return zip(log_p.exp().detach(), log_p, strict=True)
        return [(1, log_p[labels[n]])]

    return one_by_one(network, theta, task.train()[0], scores, task.outputs, power=2)


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("network", "shape"), PROBLEMS)
def test_empirical_fisher_squares_the_gradient_at_the_true_label(network, shape):
    theta, task = problem_of(network, shape)
    close(
        fisher(network, theta, task, "empirical", generator(1)),
        fisher_one_by_one(network, theta, task, task.train()[1]),
    )


@pytest.mark.parametrize(("network", "shape"), PROBLEMS)
def test_exact_fisher_is_the_expectation_over_labels(network, shape):
    theta, task = problem_of(network, shape)
    close(fisher(network, theta, task, "exact", generator(1)), fisher_one_by_one(network, theta, task))


@pytest.mark.parametrize(("network", "shape"), PROBLEMS)
def test_sampled_fisher_draws_labels_from_the_networks_own_prediction(network, shape):
    theta, task = problem_of(network, shape)
    images, labels = task.train()
    p = network.logits(theta, pixels(images))[:, task.outputs].softmax(1)
    drawn = torch.multinomial(p, 1, generator=generator(1)).squeeze(1)
    assert not torch.equal(drawn, labels)
    close(fisher(network, theta, task, "sampled", generator(1)), fisher_one_by_one(network, theta, task, drawn))


def test_sampled_fisher_approaches_exact_and_empirical_does_not():
    network, shape = NETWORKS["mlp"]
    theta, task = problem_of(network, shape, split=False)
    theta = 3 * theta  # far from uniform predictions, at which all labels weigh the same
    exact = fisher(network, theta, task, "exact", generator(1))

    def error(variant, draws):
        images, labels = task.train()
        repeated = SimpleNamespace(train=lambda: (images.repeat(draws, 1), labels.repeat(draws)), outputs=task.outputs)
        return float((fisher(network, theta, repeated, variant, generator(1)) - exact).norm() / exact.norm())

    assert error("sampled", 5000) < 0.05 < 0.2 < error("empirical", 1)
    assert error("exact", 3) < 1e-5


def test_exact_fisher_of_a_bias_at_a_uniform_prediction_is_known():
    network, shape = NETWORKS["mlp"]
    _, task = problem_of(network, shape, split=False)
    of_biases = fisher(network, torch.zeros(network.size), task, "exact", generator(1))[-4:]
    torch.testing.assert_close(of_biases, torch.full((4,), 1 / 4 * 3 / 4))


@pytest.mark.parametrize(("network", "shape"), PROBLEMS)
def test_mas_is_the_mean_sensitivity_of_the_squared_norm_of_the_logits(network, shape):
    theta, task = problem_of(network, shape)

    def squared_norm(n, logits):
        return [(1, (logits**2).sum())]

    expected = one_by_one(network, theta, task.train()[0], squared_norm, task.outputs, power=1)
    close(mas_sensitivity(network, theta, task), expected)


def test_mas_looks_at_no_label():
    network, shape = NETWORKS["mlp"]
    theta, task = problem_of(network, shape)
    images, labels = task.train()
    relabelled = SimpleNamespace(train=lambda: (images, 1 - labels), outputs=task.outputs)
    assert torch.equal(mas_sensitivity(network, theta, relabelled), mas_sensitivity(network, theta, task))


def importances(network, theta, task, sampled=True):
    """All of them, one row each."""
    variants = [variant for variant in FISHERS if sampled or variant != "sampled"]
    fishers = [fisher(network, theta, task, variant, generator(1)) for variant in variants]
    return torch.stack([*fishers, mas_sensitivity(network, theta, task)])


@pytest.mark.parametrize(("network", "shape"), PROBLEMS)
def test_the_heads_of_other_tasks_have_no_importance(network, shape):
    theta, task = problem_of(network, shape)
    for row in importances(network, theta, task):
        weight, bias = network.layers(row)[-1]
        assert not weight[:2].any()
        assert not bias[:2].any()
        assert (weight[2:].amax(1) > 0).all()
        assert (bias[2:] > 0).all()


@pytest.mark.parametrize("power", [1, 2])
def test_a_dense_networks_short_cut_is_what_any_network_does(power):
    network, shape = NETWORKS["mlp"]
    theta, task = problem_of(network, shape)
    inputs, logits = network.activity(theta, pixels(task.train()[0]))
    sensitivity = torch.randn(logits.shape, generator=generator(2))
    every_network = _Flat.per_image(network, theta, inputs[:1], sensitivity, power)
    torch.testing.assert_close(network.per_image(theta, inputs, sensitivity, power), every_network)


@pytest.mark.parametrize(("network", "shape"), PROBLEMS)
def test_the_size_of_batches_does_not_matter(network, shape, monkeypatch):
    theta, task = problem_of(network, shape)
    images = len(task.train()[1])
    assert images % 7, "the last batch is to be a smaller one"
    # not `sampled`: torch draws other labels for the same images when they come in other batches
    whole = importances(network, theta, task, sampled=False)
    monkeypatch.setattr(importance, "BATCH", 7)
    close(importances(network, theta, task, sampled=False), whole)
