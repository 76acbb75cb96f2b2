"""Every experiment as data: what is trained on what (Protocol), by which method, at what cost, with what to expect."""

import difflib
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from alasso import datasets
from alasso.errors import BadInput
from alasso.surrogates import ALASSO, SI, NoSurrogate


@dataclass(frozen=True)
class Protocol:
    """What is trained on what. Every field can be changed with `--set` and is kept in the result."""

    dataset: str = "mnist"
    """Name of the data set, see datasets.py."""
    tasks: int = 30
    """Length of the stream."""
    permute_first: bool = False
    """Permute the pixels of the first task too. Both published codes leave it as it is."""
    hidden: tuple[int, ...] = (2000, 2000)
    """Widths of the hidden layers (Table B)."""
    epochs: int = 20
    """Passes over the training images of each task."""
    batch_size: int = 256
    """Images a step."""
    learning_rate: float = 1e-3
    """Adam's; its betas are (0.9, 0.999)."""
    reset_optimizer: bool = False
    """Forget Adam's moments when a task ends. Both published codes keep them."""

    def __post_init__(self):
        if self.dataset not in datasets.NAMES:
            raise BadInput(f"dataset={self.dataset}: {_choose(self.dataset, datasets.NAMES)}")
        for name in ("tasks", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name}={getattr(self, name)}: {name} must be a whole number ≥ 1")
        if not self.hidden or min(self.hidden) < 1:
            raise BadInput(f"hidden={self.hidden}: hidden must be one or more widths ≥ 1, such as 2000,2000")
        if not 0 < self.learning_rate < math.inf:
            raise BadInput(f"learning_rate={self.learning_rate}: learning_rate must be a finite number > 0")


@dataclass(frozen=True)
class Method:
    """A surrogate under a name, and what it changes in the protocol."""

    label: str
    surrogate: NoSurrogate | SI | ALASSO
    protocol: Mapping = field(default_factory=dict)


@dataclass(frozen=True)
class Preset:
    """A protocol under a name. `cost` is for one method and one seed on 2 cores; `expect` names its source."""

    about: str
    protocol: Protocol
    cost: str
    expect: str


METHODS = {
    "none": Method("plain training", NoSurrogate()),
    "si": Method("SI", SI()),
    "alasso-published": Method("ALASSO, published", ALASSO.published()),
    "alasso-paper": Method("ALASSO, paper", ALASSO(), {"permute_first": True}),
}

PRESETS = {
    "pmnist-tiny": Preset(
        "Permuted MNIST in miniature: checks that everything runs, shows nothing else.",
        Protocol(dataset="mnist5k", tasks=2, hidden=(16,), epochs=1),
        cost="1 second",
        expect="accuracies little above chance",
    ),
    "pmnist-demo": Preset(
        "Permuted MNIST on 5,000 images and a small network: forgetting within seconds.",
        Protocol(dataset="mnist5k", tasks=10, hidden=(200, 200)),
        cost="15 seconds",
        expect="plain training loses most of what it learned; the figures are in results/pmnist-demo",
    ),
    "pmnist10": Preset(
        "Permuted MNIST, 10 tasks: the protocol for which SI's authors published their curve.",
        Protocol(tasks=10),
        cost="40 minutes (plain) to 70 (ALASSO): 12 to 20 seconds an epoch, measured in results/pmnist10",
        expect="average accuracy after 10 tasks: SI .969, plain training .574 (stored results of ganguli-lab/pathint)",
    ),
    "pmnist30": Preset(
        "Permuted MNIST, 30 tasks (Figures 4–7 left, J, K, Table 1).",
        Protocol(tasks=30),
        cost="2 hours (plain) to 3.5 (ALASSO), from the time of an epoch of pmnist10",
        expect="average accuracy after 30 tasks: ALASSO .94, about 15 points above all others (Table 1, Figure 5)",
    ),
    "pmnist100": Preset(
        "Permuted MNIST, 100 tasks (Figures 5 and 6 right, Table 1).",
        Protocol(tasks=100),
        cost="7 hours (plain) to 11 (ALASSO), from the time of an epoch of pmnist10",
        expect="average accuracy after 100 tasks: ALASSO .79 at a = 2 and 3, .62 at a = 1 (Table 1)",
    ),
}


@dataclass(frozen=True)
class Experiment:
    """One method under one protocol: everything that determines a run but its seed."""

    preset: str
    method: str
    protocol: Protocol
    surrogate: NoSurrogate | SI | ALASSO

    @property
    def digest(self) -> str:
        """Eight hex digits that change with any setting."""
        content = [self.preset, self.method, asdict(self.protocol), asdict(self.surrogate)]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]

    def path(self, folder: Path, seed: int) -> Path:
        return Path(folder) / self.preset / f"{self.method}-{self.digest}-s{seed}.json"

    def command(self, seed: int) -> str:
        """What to type to make this run again."""
        usual = _settings(experiment(self.preset, self.method))
        changed = [f"{name}={_text(value)}" for name, value in _settings(self).items() if value != usual[name]]
        changes = f" --set {' '.join(changed)}" if changed else ""
        return f"alasso run {self.preset} {self.method} --seed {seed}{changes}"


def experiment(preset: str, method: str, settings: Mapping[str, str] | None = None) -> Experiment:
    """The experiment of that name, with some settings changed; values as they are typed on a command line.

    Raises BadInput for a preset, method or setting that does not exist, and for a value that it cannot have.
    """
    if preset not in PRESETS:
        raise BadInput(f"preset {preset!r}: {_choose(preset, PRESETS)}")
    if method not in METHODS:
        raise BadInput(f"method {method!r}: {_choose(method, METHODS)}")
    chosen = METHODS[method]
    usual = Experiment(preset, method, replace(PRESETS[preset].protocol, **chosen.protocol), chosen.surrogate)
    protocol_names = {f.name for f in fields(Protocol)}
    protocol, hyperparameters = {}, {}
    for name, text in (settings or {}).items():
        known = _settings(usual)
        if name not in known:
            raise BadInput(f"setting {name!r} of {method}: {_choose(name, known)}")
        target = protocol if name in protocol_names else hyperparameters
        target[name] = _value(name, text, known[name])
    return replace(
        usual, protocol=replace(usual.protocol, **protocol), surrogate=replace(usual.surrogate, **hyperparameters)
    )


def _settings(chosen: Experiment) -> dict:
    return {**asdict(chosen.protocol), **asdict(chosen.surrogate)}


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _value(name: str, text: str, usual: object) -> object:
    """The typed text as a value of the same type as the usual one."""
    try:
        match usual:
            case bool():
                return {"true": True, "false": False}[text.lower()]
            case tuple():
                return tuple(int(part) for part in text.split(","))
            case _:
                return type(usual)(text)
    except (ValueError, KeyError):
        kinds = {bool: "true or false", int: "a whole number", float: "a number", tuple: "widths such as 200,200"}
        raise BadInput(f"{name}={text}: {name} must be {kinds[type(usual)]}") from None


def _choose(name: str, known) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"unknown; did you mean {close[0]}?" if close else f"unknown; choose from {', '.join(known)}"
