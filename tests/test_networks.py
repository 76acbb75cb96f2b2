"""The networks of Tables B, C and D against torch.nn, and what dropout does to them."""

import hashlib

import pytest
import torch
from modules import as_module
from torch import nn

from alasso import networks
from alasso.networks import (
    CNN,
    MLP,
    MeanFieldMLP,
    accuracy,
    dropout,
    images_at_once,
    loss_and_gradient,
    pixels,
    table_c,
    table_d,
)  # fmt: skip
from alasso.protocol import INITIALISATIONS
from alasso.tasks import generator

SMALL_CNN = CNN(8, ((4, 4), (6,)), 16, 5)


def test_table_b_has_the_sizes_of_the_paper():
    network = MLP((784, 2000, 2000, 10))
    assert network.layer_sizes == [784 * 2000, 2000, 2000 * 2000, 2000, 2000 * 10, 10]
    assert network.size == 5_592_010


def test_table_c_has_the_sizes_of_the_paper():
    network = table_c(classes=90)
    assert network.layer_sizes == [
        *(3 * 3 * 3 * 4, 4, 3 * 3 * 4 * 4, 4),  # 32×32 images, 3 channels to 4 to 4; pooled to 16×16
        *(3 * 3 * 4 * 8, 8, 3 * 3 * 8 * 8, 8),  # pooled to 8×8
        *(8 * 8 * 8 * 64, 64, 64 * 90, 90),
    ]
    assert network.size == 112 + 148 + 296 + 584 + 32_832 + 5_850


def test_table_d_has_the_sizes_of_the_paper():
    network = table_d(classes=180)
    assert network.layer_sizes == [
        *(3 * 3 * 3 * 32, 32, 3 * 3 * 32 * 32, 32),  # 224×224 images, pooled to 112×112 and 56×56
        *(3 * 3 * 32 * 64, 64, 3 * 3 * 64 * 64, 64, 3 * 3 * 64 * 64, 64),  # 28×28, 14×14, 7×7
        *(7 * 7 * 64 * 2048, 2048, 2048 * 180, 180),
    ]
    assert network.size == 896 + 9_248 + 18_496 + 36_928 + 36_928 + 6_424_576 + 368_820
    assert table_d(180, side=64).size == network.size - (7 * 7 - 2 * 2) * 64 * 2048


@pytest.mark.parametrize(
    ("network", "shape"),
    [(MLP((9, 8, 3)), (9,)), (SMALL_CNN, (3, 8, 8)), (table_c(90), (3, 32, 32)), (table_d(12, 32), (3, 32, 32))],
    ids=["mlp", "cnn", "table-c", "table-d"],
)
def test_logits_loss_and_gradient_are_those_of_torch_nn(network, shape):
    theta = network.init(torch.Generator().manual_seed(0))
    theta += 0.01 * torch.randn(network.size, generator=torch.Generator().manual_seed(2))  # biases too
    x = torch.randn(7, *shape, generator=torch.Generator().manual_seed(1))
    y = torch.arange(7) % 3
    module = as_module(network, theta)
    expected = nn.functional.cross_entropy(module(x), y)
    expected.backward()
    torch.testing.assert_close(network.logits(theta, x), module(x))
    loss, gradient = loss_and_gradient(network, theta, x, y)
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(gradient, torch.cat([p.grad.flatten() for p in module.parameters()]))


@pytest.mark.parametrize("network", [MLP((27, 8, 3), (0.2, 0.5)), MeanFieldMLP((27, 8, 3))], ids=["mlp", "mean field"])
def test_dense_networks_take_images_of_any_shape(network):
    theta = network.lift(network.point.init(generator(0, "theta")))
    images = torch.randint(0, 256, (5, 3, 3, 3), generator=generator(0, "images"), dtype=torch.uint8)
    noise = network.noise(5, generator(0, "noise"))
    flat = pixels(images.flatten(1))
    torch.testing.assert_close(network.logits(theta, pixels(images), noise), network.logits(theta, flat, noise))


def test_initialisation_is_glorot_uniform_with_zero_biases():
    network = MLP((300, 500, 10))
    weights, biases, *_ = network.init(torch.Generator().manual_seed(0)).split(network.layer_sizes)
    bound = (6 / 800) ** 0.5
    assert weights.abs().max() <= bound
    assert weights.var().item() == pytest.approx(bound**2 / 3, rel=0.02)
    assert not biases.any()


def test_initialisation_of_convolutions_is_that_of_torch():
    network = CNN(4, ((40, 50),), 8, 2)
    theta = network.init(torch.Generator().manual_seed(0))
    for weight, bias in network.layers(theta)[:2]:
        expected = nn.init.xavier_uniform_(torch.empty_like(weight), generator=torch.Generator().manual_seed(1))
        assert weight.std().item() == pytest.approx(expected.std().item(), rel=0.03)
        assert weight.abs().max().item() == pytest.approx(expected.abs().max().item(), rel=0.01)
        assert not bias.any()


@pytest.mark.parametrize(
    ("network", "modules"),
    [
        (MLP((300, 500, 100)), lambda: (nn.Linear(300, 500), nn.Linear(500, 100))),
        (CNN(4, ((40, 50),), 300, 100), lambda: (nn.Conv2d(3, 40, 3), nn.Conv2d(40, 50, 3), nn.Linear(200, 300))),
    ],
    ids=["mlp", "cnn"],
)
def test_initialisation_pytorch_is_distributed_as_that_of_torch_nn(network, modules):
    layers = network.layers(network.init(generator(0, "theta"), "pytorch"))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        # one draw for the weights; biases are few, so as many layers as give hundreds
        drawn = [modules() for _ in range(30)]
    for layer, (weight, bias) in enumerate(layers[: len(drawn[0])]):
        expected = drawn[0][layer].weight.detach()
        assert weight.shape == expected.shape
        assert weight.std().item() == pytest.approx(expected.std().item(), rel=0.03)
        assert weight.mean().item() == pytest.approx(0, abs=0.05 * expected.std().item())
        biases = torch.cat([modules[layer].bias.detach() for modules in drawn])
        assert bias.std().item() == pytest.approx(biases.std().item(), rel=0.2)
        bound = weight[0].numel() ** -0.5
        assert 0.99 * bound < max(expected.abs().max(), biases.abs().max()) <= bound, "torch.nn's own"
        assert 0.99 * bound < weight.abs().max() <= bound
        assert 0.9 * bound < bias.abs().max() <= bound
    assert not torch.equal(network.init(generator(0, "theta")), network.init(generator(0, "theta"), "pytorch"))


def test_images_of_another_size_are_enlarged_bilinearly():
    theta = SMALL_CNN.init(torch.Generator().manual_seed(0))
    x = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    enlarged = nn.Upsample(scale_factor=2, mode="bilinear")(x)
    # torch's own result, by hand along the top edge: a quarter of the way between neighbours
    torch.testing.assert_close(enlarged[..., 0, 1], 0.75 * x[..., 0, 0] + 0.25 * x[..., 0, 1])
    assert torch.equal(SMALL_CNN.logits(theta, x), SMALL_CNN.logits(theta, enlarged))


def test_dropout_drops_the_right_share_and_is_unbiased():
    x = torch.linspace(-2, 2, 50)
    uniform = torch.rand(4000, 50, generator=generator(0, "dropout"))
    draws = torch.stack([dropout(x, 0.3, iter([numbers])) for numbers in uniform])
    assert (draws == 0).float().mean().item() == pytest.approx(0.3, abs=0.005)
    torch.testing.assert_close(draws.mean(0), x, rtol=0.05, atol=1e-6)
    torch.testing.assert_close(draws, torch.where(draws == 0, 0, x / 0.7))


@pytest.mark.parametrize(("rates", "share"), [((0.2, 0.0), 0.8), ((0.0, 0.5), 0.5**2), ((0.2, 0.5), 0.8 * 0.5**2)])
def test_the_rates_of_an_mlp_are_of_its_inputs_and_of_all_hidden_units(rates, share):
    """Weights that pass everything on: what arrives is what was never dropped."""
    network = MLP((100, 100, 100, 100), rates)
    one = torch.cat([torch.eye(100).flatten(), torch.zeros(100)])
    arrived = network.logits(one.repeat(3), torch.ones(1000, 100), network.noise(1000, generator(0, "noise")))
    assert (arrived > 0).float().mean().item() == pytest.approx(share, abs=0.01)
    torch.testing.assert_close(arrived, (arrived > 0) / share)
    assert torch.equal(network.logits(one.repeat(3), torch.ones(9, 100)), torch.ones(9, 100))


def test_the_rates_of_tables_c_and_d_are_a_quarter_after_each_block_and_a_half_after_the_dense_layer():
    network = CNN(4, ((3,), (3,)), 3, 3)
    copy = torch.zeros(3, 3, 3, 3)
    copy[range(3), range(3), 1, 1] = 1
    convolution, dense = (torch.cat([weight.flatten(), torch.zeros(3)]) for weight in (copy, torch.eye(3)))
    x = torch.zeros(20_000, 3, 4, 4)
    x[..., 0, 0] = 1  # alone in its pooling windows
    theta, share = torch.cat([convolution, convolution, dense, dense]), 0.75 * 0.75 * 0.5
    arrived = network.logits(theta, x, network.noise(len(x), generator(0, "noise")))
    assert (arrived > 0).float().mean().item() == pytest.approx(share, abs=0.01)
    torch.testing.assert_close(arrived, (arrived > 0) / share)


@pytest.mark.parametrize(("network", "shape"), [(MLP((9, 8, 3), (0.2, 0.5)), (9,)), (SMALL_CNN, (3, 8, 8))])
def test_noise_is_all_in_the_generator_and_a_network_under_test_has_none(network, shape):
    theta, x = network.init(generator(0, "theta")), torch.rand(7, *shape, generator=generator(0, "x"))
    first = network.logits(theta, x, network.noise(len(x), generator(0, "noise")))
    tested = network.predict(theta, x)
    assert not torch.equal(first, network.logits(theta, x, network.noise(len(x), generator(1, "noise"))))
    assert not torch.equal(first, tested)
    torch.testing.assert_close(tested, as_module(network, theta)(x))
    torch.rand(7)  # whatever happens to the global generator
    assert torch.equal(first, network.logits(theta, x, network.noise(len(x), generator(0, "noise"))))


def test_node_scale_switches_input_nodes_of_mlps_and_channels_of_convolutions():
    for network in (MLP((400, 300, 200)), CNN(4, ((30, 200),), 300, 5)):
        scale = network.node_scale((0.2, 0.5), generator(0, "scale"))
        assert scale.shape == (network.size,)
        for layer, (weight, bias) in enumerate(network.layers(scale)):
            rate = 0.5 if layer else 0.2
            nodes = weight.transpose(0, 1).flatten(1)
            assert torch.equal(nodes, nodes[:, :1].expand_as(nodes)), "a node is off for all that it goes to, or on"
            torch.testing.assert_close(nodes, (nodes > 0) / (1 - rate))
            if len(nodes) >= 200:
                assert (nodes[:, 0] == 0).float().mean().item() == pytest.approx(rate, abs=0.1)
            assert torch.equal(bias, torch.ones_like(bias))


def test_a_network_scaled_by_node_is_one_with_dropped_inputs(network):
    theta, x = network.init(generator(0, "theta")), torch.rand(5, 9, generator=generator(0, "x"))
    scale = network.node_scale((0.4, 0.0), generator(0, "scale"))
    first = network.layers(scale)[0][0][0]  # one factor for each of the 9 inputs
    assert 0 < (first == 0).sum() < 9
    torch.testing.assert_close(network.logits(theta * scale, x), network.logits(theta, x * first))


def test_the_activity_of_convolutions_is_taken_in_pieces(monkeypatch):
    theta, x = SMALL_CNN.init(generator(0, "theta")), torch.rand(7, 3, 8, 8, generator=generator(0, "x"))
    sizes, logits = [], CNN.logits
    monkeypatch.setattr(networks, "LARGEST_LAYER", 3 * 4 * SMALL_CNN.widest)
    monkeypatch.setattr(CNN, "logits", lambda self, theta, x: sizes.append(len(x)) or logits(self, theta, x))
    (inputs,), found = SMALL_CNN.activity(theta, x)
    assert sizes == [3, 3, 1]
    assert inputs is x
    torch.testing.assert_close(found, logits(SMALL_CNN, theta, x))


def test_accuracy_is_the_share_of_right_predictions_in_batches_of_any_size(network, monkeypatch):
    theta = network.init(torch.Generator().manual_seed(0))
    images = torch.randint(0, 256, (101, 9), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    predictions = network.logits(theta, images / 255).argmax(1)
    labels = predictions.clone()
    labels[:11] = (labels[:11] + 1) % 3
    assert accuracy(network, theta, images, labels) == 90 / 101
    monkeypatch.setattr(type(network), "tested", 10)
    assert accuracy(network, theta, images, labels) == 90 / 101


def test_accuracy_on_a_task_is_among_its_own_classes(network):
    theta = network.init(torch.Generator().manual_seed(0))
    images = torch.randint(0, 256, (101, 9), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    labels = (network.logits(theta, images / 255)[:, 2] > network.logits(theta, images / 255)[:, 1]).long()
    assert accuracy(network, theta, images, labels, slice(1, 3)) == 1


def test_at_least_one_image_at_a_time():
    assert images_at_once(table_d(12, side=1024), 256, torch.device("cpu")) == 1


def test_golden_hashes_of_initialisations():
    """Every committed run starts from such numbers."""
    drawn = [MLP((9, 8, 3)).init(generator(0, "theta"), way) for way in INITIALISATIONS]
    digests = [hashlib.sha256(theta.numpy().astype("<f4").tobytes()).hexdigest()[:16] for theta in drawn]
    assert digests == ["10250abfb5427a3e", "2caeb19ff69ca558"]


@pytest.mark.parametrize("network", [SMALL_CNN, networks.table_c(9), CNN(8, ((2,), (40,)), 5, 3)])
def test_the_widest_layer_is_the_largest_that_a_forward_pass_makes(network):
    sizes, module = [], as_module(network, network.init(generator(0, "theta")))
    for layer in module:
        layer.register_forward_hook(lambda module, given, made: sizes.append(made[0].numel()))
    module(torch.rand(2, 3, network.side, network.side))
    assert network.widest == max(sizes)
    assert networks.images_at_once(network, 10**9, torch.device("cuda")) == 10**9
