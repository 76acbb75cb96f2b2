"""What people write without this project: plain training and ALASSO in straightforward eager PyTorch."""

import torch
from torch import Tensor, nn

from alasso.networks import CNN, MLP
from alasso.surrogates import ALASSO


def module(network, image_side: int = 28) -> nn.Module:
    """The network of Table B, C or D as an nn.Module, with PyTorch's own initialisation."""
    if isinstance(network, MLP):
        layers = [nn.Flatten()]
        for inputs, outputs in zip(network.sizes[:-1], network.sizes[1:], strict=True):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        return nn.Sequential(*layers[:-1])
    assert isinstance(network, CNN)
    layers, channels = [], 3
    if network.side != image_side:
        layers.append(nn.Upsample(size=network.side, mode="bilinear", align_corners=False))
    for block in network.blocks:
        for width in block:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers += [nn.MaxPool2d(2), nn.Dropout(network.block_dropout)]
    (_, flat), _ = network.shapes[-2:]
    layers += [nn.Flatten(), nn.Linear(flat, network.dense), nn.ReLU(), nn.Dropout(network.dense_dropout)]
    return nn.Sequential(*layers, nn.Linear(network.dense, network.classes))


class Plain:
    """Adam on the loss of the task: no continual learning at all."""

    def __init__(self, network, image_side: int = 28):
        self.module = module(network, image_side)
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=1e-3)

    def step(self, images: Tensor, y: Tensor, outputs: slice, _generator) -> None:
        loss = nn.functional.cross_entropy(self.module(images.float() / 255)[:, outputs], y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


class EagerALASSO:
    """ALASSO as usually written: tensors by parameter, `loss += penalty`, the task's own gradient taken on the side."""

    def __init__(self, network, surrogate: ALASSO):
        self.module, self.s = module(network), surrogate
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=1e-3)
        self.parameters = list(self.module.parameters())
        self.anchor = [p.detach().clone() for p in self.parameters]
        self.importance = [torch.rand_like(p) * 1e-3 for p in self.parameters]
        self.side = [torch.randn_like(p).sign() for p in self.parameters]
        self.path_integral = [torch.zeros_like(p) for p in self.parameters]

    def step(self, images: Tensor, y: Tensor, outputs: slice, _generator) -> None:
        loss = nn.functional.cross_entropy(self.module(images.float() / 255)[:, outputs], y)
        alone = torch.autograd.grad(loss, self.parameters, retain_graph=True)
        for p, anchor, importance, side in zip(self.parameters, self.anchor, self.importance, self.side, strict=True):
            observed = (p - anchor) * side > 0
            curvature = torch.where(observed, importance, self.s.a * importance + self.s.epsilon)
            loss = loss + self.s.c * (curvature * (p - anchor) ** 2).sum()
        before = [p.detach().clone() for p in self.parameters]
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            for path, g, p, old in zip(self.path_integral, alone, self.parameters, before, strict=True):
                path -= g * (p - old)
