"""Networks a second time, as PyTorch has them."""

import peers
from torch import Tensor, nn

from alasso.networks import CNN, MLP


def as_module(network: MLP | CNN, theta: Tensor) -> nn.Module:
    """The same network of PyTorch's own layers, with the same weights, as it is tested: without dropout."""
    module = peers.module(network, getattr(network, "side", 28)).eval()
    nn.utils.vector_to_parameters(theta.clone(), module.parameters())
    return module
