"""Table B's network against torch.nn."""

import pytest
import torch
from torch import nn

from alasso.networks import MLP, accuracy, loss_and_gradient


def as_module(network, theta):
    layers = []
    for inputs, outputs in zip(network.sizes[:-1], network.sizes[1:], strict=True):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    module = nn.Sequential(*layers[:-1])
    nn.utils.vector_to_parameters(theta.clone(), module.parameters())
    return module


def test_table_b_has_the_sizes_of_the_paper():
    network = MLP((784, 2000, 2000, 10))
    assert network.layer_sizes == [784 * 2000, 2000, 2000 * 2000, 2000, 2000 * 10, 10]
    assert network.size == 5_592_010


def test_logits_loss_and_gradient_are_those_of_torch_nn(network):
    theta = network.init(torch.Generator().manual_seed(0))
    x = torch.randn(7, 9, generator=torch.Generator().manual_seed(1))
    y = torch.arange(7) % 3
    module = as_module(network, theta)
    expected = nn.functional.cross_entropy(module(x), y)
    expected.backward()
    torch.testing.assert_close(network.logits(theta, x), module(x))
    loss, gradient = loss_and_gradient(network, theta, x, y)
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(gradient, torch.cat([p.grad.flatten() for p in module.parameters()]))


def test_initialisation_is_glorot_uniform_with_zero_biases():
    network = MLP((300, 500, 10))
    weights, biases, *_ = network.init(torch.Generator().manual_seed(0)).split(network.layer_sizes)
    bound = (6 / 800) ** 0.5
    assert weights.abs().max() <= bound
    assert weights.var().item() == pytest.approx(bound**2 / 3, rel=0.02)
    assert not biases.any()


def test_accuracy_is_the_share_of_right_predictions_in_batches_of_any_size(network):
    theta = network.init(torch.Generator().manual_seed(0))
    images = torch.randint(0, 256, (101, 9), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    predictions = network.logits(theta, images / 255).argmax(1)
    labels = predictions.clone()
    labels[:11] = (labels[:11] + 1) % 3
    assert accuracy(network, theta, images, labels) == 90 / 101
    assert accuracy(network, theta, images, labels, batch_size=10) == 90 / 101
