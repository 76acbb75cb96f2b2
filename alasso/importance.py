"""Importance weights that take a look at the task's data when it ends: Fisher information and MAS' sensitivity.

Both are means over images of a power of each image's own gradient, which a batch's gradient cannot give.
"""

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from alasso.networks import pixels

BATCH = 500
FISHERS = ("empirical", "sampled", "exact")


def fisher(network, theta: Tensor, task, variant: str, generator: Generator) -> Tensor:
    """Diagonal of the Fisher information, (P,): mean over images of the squared gradient of log p(label | image).

    `empirical` takes the true label; `sampled` draws one from the network's own prediction, which is unbiased for
    `exact`, the expectation over all labels at the cost of one pass a class (Kunstner et al. 2019 tell them apart).
    """

    def sensitivities(logits, labels):
        p = logits.softmax(1)
        if variant == "exact":
            for label in range(p.shape[1]):
                # √p inside the square weighs the square by p
                yield (p - F.one_hot(torch.tensor(label), p.shape[1]).to(p)) * p[:, label, None].sqrt()
        else:
            if variant == "sampled":
                labels = torch.multinomial(p.cpu(), 1, generator=generator).squeeze(1).to(labels)
            yield p - F.one_hot(labels, p.shape[1])

    return _mean_power(network, theta, task, sensitivities, power=2)


def mas_sensitivity(network, theta: Tensor, task) -> Tensor:
    """Mean over images of `|∂‖f(x)‖²/∂θ|`, (P,), f the logits; no label is used (Aljundi et al. 2018, eq. 2)."""
    return _mean_power(network, theta, task, lambda logits, labels: [2 * logits], power=1)


@torch.no_grad()
def _mean_power(network, theta: Tensor, task, sensitivities, power: int) -> Tensor:
    """Mean over the task's images of Σ |∂s/∂θ|ᵖ over the sensitivities ∂s/∂logits that are yielded."""
    images, labels = task.train()
    total = torch.zeros_like(theta)
    for x, y in zip(images.split(BATCH), labels.split(BATCH), strict=True):
        inputs, logits = network.activity(theta, pixels(x))
        for sensitivity in sensitivities(logits[:, task.outputs], y):
            everywhere = torch.zeros_like(logits)
            everywhere[:, task.outputs] = sensitivity
            total += network.per_image(theta, inputs, everywhere, power)
    return total / len(labels)
