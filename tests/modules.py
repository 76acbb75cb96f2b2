"""Networks a second time, as PyTorch has them."""

from itertools import pairwise

from torch import Tensor, nn

from alasso.networks import CNN, MLP


def as_module(network: MLP | CNN, theta: Tensor) -> nn.Sequential:
    """The same network of PyTorch's own layers, with the same weights."""
    layers = []
    if isinstance(network, CNN):
        channels, side, sizes = 3, network.side, (network.dense, network.classes)
        for block in network.blocks:
            for wider in block:
                layers += [nn.Conv2d(channels, wider, 3, padding="same"), nn.ReLU()]
                channels = wider
            layers.append(nn.MaxPool2d(2))
            side //= 2
        layers.append(nn.Flatten())
        sizes = (channels * side * side, *sizes)
    else:
        sizes = network.sizes
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    module = nn.Sequential(*layers[:-1])
    nn.utils.vector_to_parameters(theta.clone(), module.parameters())
    return module
