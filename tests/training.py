"""A short training on a small network, and what can be seen of it from outside."""

from types import SimpleNamespace

from torch import Tensor

from alasso.protocol import Protocol
from alasso.train import train_stream

PROTOCOL = Protocol(dataset="mnist5k", tasks=3, hidden=(8,), epochs=3, batch_size=16, learning_rate=0.01)


def trained(network, surrogate, stream, protocol=PROTOCOL, seed=0) -> tuple[list[list[float]], list[Tensor], list]:
    """The rows of the accuracy matrix, and θ and the State as they are when each task has ended."""
    thetas, states = [], []
    called = ("init", "train_at", "gradient", "observe", "consolidate")
    spy = SimpleNamespace(**{name: getattr(surrogate, name) for name in called})

    def evaluate_at(state, theta):
        thetas.append(theta.clone())
        states.append(state)
        return surrogate.evaluate_at(state, theta)

    spy.evaluate_at = evaluate_at
    rows = [row for row, _, _ in train_stream(network, spy, stream, protocol, seed, "cpu", lambda *_: None)]
    return rows, thetas, states
