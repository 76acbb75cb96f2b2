"""The reference loop: what every method here does, readable on one screen. run.py wraps it into runs that survive."""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

import torch
from torch import Tensor
from torch.nn import functional as F

from alasso.networks import accuracy, loss_and_gradient, pixels
from alasso.surrogates import NoSurrogate
from alasso.tasks import batches, generator


class Learner:
    """All that changes while a network learns: θ, what the surrogate remembers, Adam's moments.

    `step` is the definition of every method here, in eager float32. fast.py has the same, faster.
    """

    def __init__(self, network, surrogate, theta: Tensor, task, protocol):
        theta = theta.detach()  # or State would keep the graph of every step
        self.network, self.surrogate, self.theta, self.protocol = network, surrogate, theta, protocol
        self.state = surrogate.init(theta, task)
        self.reset_optimizer()

    def reset_optimizer(self) -> None:
        """Adam with its moments at zero."""
        self.optimizer = torch.optim.Adam([self.theta], lr=self.protocol.learning_rate, betas=(0.9, 0.999))

    def step(self, images: Tensor, y: Tensor, outputs: slice, generator) -> float:
        """One batch of uint8 images: one step of θ, in place. Returns the loss of the task alone."""
        before = self.theta.clone()
        at, scale = self.surrogate.train_at(self.state, self.theta, self.network, generator)
        noise = self.network.noise(len(y), generator)
        loss, g = loss_and_gradient(self.network, at, pixels(images), y, outputs, noise)
        g = scale * g
        self.theta.grad = g + self.surrogate.gradient(self.state, self.theta)
        self.optimizer.step()
        self.state = self.surrogate.observe(self.state, g, self.theta - before)
        return loss.item()

    def consolidate(self, task, generator) -> None:
        """The end of a task: its loss becomes a part of the surrogate."""
        self.state = self.surrogate.consolidate(self.state, self.theta, self.network, task, generator)

    def accuracy(self, theta: Tensor, task) -> float:
        """Share of the task's test images that the network gets right at this θ."""
        return accuracy(self.network, theta, *task.test(), task.outputs)

    def tensors(self) -> dict:
        """All that a checkpoint needs, in the form that fast.FastLearner has too; there has been a step."""
        adam = self.optimizer.state[self.theta]
        moments = [adam["exp_avg"], adam["exp_avg_sq"]]
        return {"theta": self.theta, "state": list(self.state), "moments": moments, "steps": int(adam["step"])}

    def load(self, tensors: dict) -> "Learner":
        """Go on from a checkpoint."""
        self.theta.copy_(tensors["theta"])
        self.state = type(self.state)(*(t.to(self.theta) for t in tensors["state"]))
        first, second = (t.to(self.theta) for t in tensors["moments"])
        step = torch.tensor(float(tensors["steps"]))
        self.optimizer.state[self.theta] = {"step": step, "exp_avg": first, "exp_avg_sq": second}
        return self


@dataclass
class Place:
    """How far a run has come. With the learner's tensors it makes a checkpoint; all else follows from the seed."""

    task: int = 0
    epoch: int = 0
    step: int = 0
    total: float = 0.0  # loss summed over the images of this epoch
    loss: float = 0.0  # its mean over the epoch before
    seconds: float = 0.0  # spent on this task so far
    noise: Tensor | None = None  # where the generator of this epoch's noise stands
    done: list[tuple[list[float], float, float]] = field(default_factory=list)
    """For each finished task: the accuracies on all tasks so far, the mean loss over its last epoch, seconds."""

    def __str__(self):
        if not self.step and not self.epoch:
            return f"the end of task {self.task}"
        if not self.step:
            return f"task {self.task + 1}, the end of epoch {self.epoch}"
        return f"task {self.task + 1}, epoch {self.epoch + 1}, step {self.step}"


Watch = Callable[[Place, Learner | None, float], None]
"""Called after every step with the loss, and after every task; what it raises ends the run.

Without a learner where there is only a loss to look at: after the last step of a task, and in the fit before a network
of distributions is trained, of which no checkpoint is made.
"""


def train_task(learner, task, protocol, seed: int, place: Place, watch: Watch) -> None:
    """Learn one task, from its beginning or from a place in it."""
    images, labels = task.train()
    while place.epoch < protocol.epochs:
        noise = generator(seed, "noise", task.index, place.epoch)
        if place.noise is not None:
            noise.set_state(place.noise)
        order = batches(len(labels), protocol.batch_size, seed, task.index, place.epoch, task.epoch_size)
        for index in order[place.step :]:
            began = perf_counter()
            chosen = index.to(labels.device)
            batch = images.index_select(0, chosen)  # whole rows, where images[chosen] goes pixel by pixel
            loss = learner.step(batch, labels[chosen], task.outputs, noise)
            place.step, place.noise = place.step + 1, noise.get_state()
            place.total += loss * len(index)
            place.seconds += perf_counter() - began
            watch(place, learner, loss)
        place.loss = place.total / task.epoch_size
        place.epoch, place.step, place.total, place.noise = place.epoch + 1, 0, 0.0, None


@torch.no_grad()
def last_loss(learner, task, seed: int) -> float:
    """Of a few images, after the last step: a step that diverges shows in the next one's loss, and this has none."""
    images, labels = task.train()
    few = torch.arange(min(8, len(labels)), device=labels.device)
    images, labels = images.index_select(0, few), labels[few]
    noise = generator(seed, "last loss", task.index)
    theta, _ = learner.surrogate.train_at(learner.state, learner.theta, learner.network, noise)
    logits = learner.network.logits(theta, pixels(images), learner.network.noise(len(labels), noise))
    return F.cross_entropy(logits[:, task.outputs], labels).item()


def train_stream(
    network, surrogate, stream, protocol, seed: int, device, watch: Watch, make=Learner, saved=None
) -> list[tuple[list[float], float, float]]:
    """Learn one task after another; returns what Place.done holds of each.

    The stream may be a part of another: chance follows each task's own index, all else its position here.
    `make` is Learner or one like it; `saved`, a Place and a learner's tensors, is where to go on from.
    """
    place, learner = Place(), None
    if saved is not None:
        place, tensors = saved
        learner = make(network, surrogate, torch.zeros(network.size, device=device), stream[0], protocol).load(tensors)
    for position, task in enumerate(stream[place.task :], place.task):
        if place.epoch == place.step == 0:
            if position == 0 or protocol.fresh_network:
                began = perf_counter()
                theta = initial_theta(network, task, protocol, seed, device, make, watch)
                place.seconds += perf_counter() - began
                learner = make(network, surrogate, theta, task, protocol)
            elif protocol.reset_optimizer:
                learner.reset_optimizer()
        train_task(learner, task, protocol, seed, place, watch)
        watch(place, None, last_loss(learner, task, seed))
        began = perf_counter()
        learner.consolidate(task, generator(seed, "consolidate", task.index))
        tested = [task] if protocol.fresh_network else stream[: position + 1]
        kept = (
            place.done[-1][0] if place.done and protocol.fresh_network else []
        )  # a network of its own forgets nothing
        evaluated = surrogate.evaluate_at(learner.state, learner.theta)
        seen = kept + [learner.accuracy(evaluated, old) for old in tested]
        seconds = place.seconds + perf_counter() - began
        place = Place(task=position + 1, done=[*place.done, (seen, place.loss, seconds)])
        watch(place, learner, place.done[-1][1])
    return place.done


def initial_theta(network, task, protocol, seed: int, device, make, watch: Watch = lambda *_: None) -> Tensor:
    """θ before a task; a network of distributions starts from a maximum-likelihood fit of its means to the task."""
    theta = network.point.init(generator(seed, "initialisation", task.index), protocol.initialisation).to(device)
    if network.point is not network:
        learner = make(network.point, NoSurrogate(), theta, task, protocol)
        fit = Place(task=task.index)
        train_task(learner, task, protocol, seed, fit, lambda place, _, loss: watch(place, None, loss))
    return network.lift(theta)
