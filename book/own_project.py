"""ALASSO in a training loop of your own: any torch.nn.Module, any stream of tasks. The book's page shows this file."""

import torch

from alasso.surrogates import ALASSO


def learn(model, stream, loss_function, epochs=1, learning_rate=1e-3, surrogate=None):
    """Train `model`, in place, on each task of `stream`, an iterable of batches (x, y); yields after every task."""
    surrogate = surrogate or ALASSO.published()
    parameters = [p for p in model.parameters() if p.requires_grad]
    sizes = [p.numel() for p in parameters]
    optimizer = torch.optim.Adam(parameters, lr=learning_rate)
    state = surrogate.init(flat(parameters), task=None)
    for task in stream:
        for _ in range(epochs):
            for x, y in task:
                before = flat(parameters)
                loss = loss_function(model(x), y)  # of this task alone: the past comes in two lines below
                g = flat(torch.autograd.grad(loss, parameters, materialize_grads=True))
                total = g + surrogate.gradient(state, before)
                for p, part in zip(parameters, total.split(sizes), strict=True):
                    p.grad = part.view_as(p)
                optimizer.step()
                state = surrogate.observe(state, g, flat(parameters) - before)
        state = surrogate.consolidate(state, flat(parameters), network=None, task=None, generator=None)
        yield


def flat(tensors):
    """One vector of all entries."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
