"""The loop that the book offers for other projects does what the package's own loop does."""

import re
from dataclasses import replace
from pathlib import Path

import own_project
import pytest
import torch
from modules import as_module
from torch import nn

from alasso.networks import pixels
from alasso.protocol import Protocol
from alasso.surrogates import ALASSO, SI, NoSurrogate, State
from alasso.tasks import batches, generator
from alasso.train import Learner, Place, train_task

BOOK = Path(__file__).parents[1] / "book"

PROTOCOL = Protocol(tasks=3, hidden=(8,), epochs=4, batch_size=16)
SEED = 5


class Batches:
    """A task of the stream as a loop of one's own sees it: the same batches as the package's, epoch by epoch."""

    def __init__(self, task):
        self.task, self.epoch = task, -1

    def __iter__(self):
        self.epoch += 1
        images, labels = self.task.train()
        for index in batches(len(labels), PROTOCOL.batch_size, SEED, self.task.index, self.epoch, self.task.epoch_size):
            yield pixels(images[index]), labels[index]


@pytest.mark.parametrize(
    "surrogate", [NoSurrogate(), SI(c=10.0, damping=1e-3), replace(ALASSO.published(), damping=1e-3), ALASSO()]
)
def test_it_is_the_loop_of_the_package(network, stream, surrogate):
    theta = network.init(generator(SEED, "initialisation", 0))
    model, start = as_module(network, theta), theta.clone()
    learner = Learner(network, surrogate, theta, stream[0], PROTOCOL)
    loss = nn.functional.cross_entropy
    steps = own_project.learn(model, map(Batches, stream), loss, PROTOCOL.epochs, PROTOCOL.learning_rate, surrogate)
    for task, _ in zip(stream, steps, strict=True):
        train_task(learner, task, PROTOCOL, SEED, Place(task=task.index), lambda *_: None)
        learner.consolidate(task, None)
        # Adam turns a rounding error of a small gradient into one of a step: 1e-3 is one step, 1e-5 a hundredth.
        assert (own_project.flat(model.parameters()) - learner.theta).abs().max() < 1e-5
    assert (learner.theta - start).abs().max() > 1e-2


def test_the_state_is_saved_and_read_as_the_page_says(tmp_path):
    state = ALASSO.published().init(torch.randn(5), task=None)
    names = {"torch": torch, "State": State, "state": state, "path": tmp_path / "state.pt"}
    said = re.findall(
        r"`([^`\n]*torch\.(?:save|load)\([^`\n]*)`", (BOOK / "own_project.md").read_text(encoding="utf-8")
    )
    assert said == ["torch.save(tuple(state), path)", "State(*torch.load(path))"]
    _, again = (eval(line, names) for line in said)
    assert type(again) is State
    assert all(map(torch.equal, again, state))


def test_parameters_that_a_task_does_not_use_stay(network):
    class TwoOutputs(nn.Module):
        def __init__(self):
            super().__init__()
            self.heads, self.task = nn.ModuleList([nn.Linear(3, 2), nn.Linear(3, 2)]), 0

        def forward(self, x):
            return self.heads[self.task](x)

    torch.manual_seed(0)
    model, before = TwoOutputs(), None
    batch = (torch.randn(8, 3), torch.randint(0, 2, (8,)))
    for _ in own_project.learn(model, [[batch], [batch]], nn.functional.cross_entropy, epochs=3):
        if before is None:  # after the first task: its own output has moved, the other's has not
            before = own_project.flat(model.heads[1].parameters())
            model.task = 1
    torch.manual_seed(0)
    assert torch.equal(before, own_project.flat(TwoOutputs().heads[1].parameters()))
    assert not torch.equal(before, own_project.flat(model.heads[1].parameters()))


def test_frozen_layers_stay_and_the_rest_learns():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    body, head = (own_project.flat(model[k].parameters()) for k in (0, 2))
    task = [(torch.randn(8, 3), torch.randint(0, 2, (8,)))]
    for _ in own_project.learn(model, [task], nn.functional.cross_entropy):
        pass
    assert torch.equal(body, own_project.flat(model[0].parameters()))
    assert not torch.equal(head, own_project.flat(model[2].parameters()))
