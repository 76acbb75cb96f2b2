"""Every experiment as data: what is trained on what (Protocol), by which method, at what cost, with what to expect."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from alasso.errors import BadInput
from alasso.protocol import LARGEST_FLOAT, Protocol, choose, text
from alasso.results import Run
from alasso.rivals import EWC, IMM, MAS, VCL
from alasso.surrogates import ALASSO, SI, NoSurrogate

Surrogate = NoSurrogate | SI | ALASSO | EWC | MAS | IMM | VCL


@dataclass(frozen=True)
class Method:
    """A surrogate under a name, and what it changes in the protocol."""

    label: str
    surrogate: Surrogate
    protocol: Mapping = field(default_factory=dict)
    mean_field: bool = False
    """Train a Gaussian for each weight instead of a number."""


@dataclass(frozen=True)
class Preset:
    """A protocol under a name. `cost` is for one method and one seed; `expect` names its source."""

    about: str
    protocol: Protocol
    cost: str
    expect: str
    hyperparameters: Mapping[str, Mapping] = field(default_factory=dict)
    """By method, what its authors chose for natural images and not for permuted MNIST."""


METHODS = {
    "none": Method("plain training", NoSurrogate()),
    "si": Method("SI", SI()),
    "alasso-published": Method("ALASSO, published", ALASSO.published()),
    "alasso-paper": Method("ALASSO, paper", ALASSO(), {"permute_first": True}),
    # the ablations of Figures 5 and 7: one thing less than *published*
    "alasso-si-importance": Method("ALASSO without perfect Ω", replace(ALASSO.published(), perfect=False)),
    "alasso-symmetric": Method("ALASSO without asymmetry", replace(ALASSO.published(), a=1.0, epsilon=0.0)),
    "alasso-coupled": Method("ALASSO without decoupling", replace(ALASSO.published(), a_prime=1.8, epsilon_prime=1e-6)),
    "ewc": Method("EWC", EWC()),
    "online-ewc": Method("online EWC", EWC(online=True)),
    "mas": Method("MAS", MAS()),
    "imm-mean": Method("IMM, mean", IMM()),
    "imm-mode": Method("IMM, mode", IMM(mode=True)),
    "vcl": Method("VCL", VCL(), mean_field=True),
    "dropout": Method("plain with dropout", NoSurrogate(), {"dropout": (0.2, 0.5)}),
    "single": Method("single task", NoSurrogate(), {"fresh_network": True}),
    "multi": Method("multi task", NoSurrogate(), {"joint": True}),
}

ABLATIONS = ("alasso-si-importance", "alasso-symmetric", "alasso-coupled")
BOUNDS = ("single", "multi")
"""No rivals: they keep the old data, or a network for each task."""

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
        cost="50 minutes on one core that multiplies in bfloat16, three times that on others: see results/pmnist10",
        expect="average accuracy after 10 tasks: SI .969, plain training .574 (stored results of ganguli-lab/pathint)",
    ),
    "pmnist30": Preset(
        "Permuted MNIST, 30 tasks (Figures 4–7 left, J, K, Table 1).",
        Protocol(tasks=30),
        cost="70 minutes to 2.3 hours on one core that multiplies in bfloat16, measured in results/pmnist30",
        expect="average accuracy after 30 tasks: ALASSO .94, about 15 points above all others (Table 1, Figure 5)",
    ),
    "pmnist100": Preset(
        "Permuted MNIST, 100 tasks (Figures 5 and 6 right, Table 1).",
        Protocol(tasks=100),
        cost="4 to 8 hours on one core that multiplies in bfloat16, from pmnist30",
        expect="average accuracy after 100 tasks: ALASSO .79 at a = 2 and 3, .62 at a = 1 (Table 1)",
    ),
    "split-cifar": Preset(
        "CIFAR-10 and -100 in 30 tasks of 3 classes, Table C (Figure 8). SI's authors' optimiser: reset, 60 epochs.",
        Protocol("cifar110", 30, classes_per_task=3, network="table-c", epochs=60, reset_optimizer=True),
        cost="8 minutes on one core: 16 seconds a task, measured in results/split-cifar",
        expect="SI 13.9 points below single task on average, ALASSO 5.7 above SI (Figure 8, section 5.3)",
        hyperparameters={"si": {"damping": 1e-3}},
    ),
    "split-tiny": Preset(
        "Tiny ImageNet at 224×224 in 30 tasks of 6 classes, Table D (Figure 9). Epochs and optimiser: as split-cifar.",
        Protocol("tiny-imagenet", 30, classes_per_task=6, network="table-d", epochs=60, reset_optimizer=True),
        cost="three to four days on one core: twelve times the pixels of split-tiny-64; not measured",
        expect="average accuracy: ALASSO .594, single task .589, SI about 10 points below ALASSO (Figure 9)",
        hyperparameters={"si": {"damping": 1e-3}},
    ),
    "split-tiny-64": Preset(
        "Split Tiny ImageNet at the images' own 64×64: a twelfth of the work.",
        Protocol(
            "tiny-imagenet", 30, classes_per_task=6, network="table-d", image_side=64, epochs=60, reset_optimizer=True
        ),
        cost="7 hours on one core: 14 seconds an epoch of a task, measured in results/split-tiny-64",
        expect="the order of Figure 9; its numbers are for 224×224",
        hyperparameters={"si": {"damping": 1e-3}},
    ),
}

_IN_FULL = ("pmnist10", "pmnist30", "pmnist100", "split-cifar", "split-tiny")


def _short(name: str) -> Preset:
    """The same experiment at a quarter of the epochs."""
    full = PRESETS[name]
    epochs = full.protocol.epochs // 4
    return replace(
        full,
        about=f"Short, {epochs} of {full.protocol.epochs} epochs: {full.about}",
        protocol=replace(full.protocol, epochs=epochs),
        cost=f"a quarter of {name}'s, but for the tests",
        expect=f"the order of {name}'s methods; its numbers are for {full.protocol.epochs} epochs",
    )


PRESETS |= {f"{name}-short": _short(name) for name in _IN_FULL}

SCALES = {
    "demo": dict.fromkeys(("pmnist10", "pmnist30", "pmnist100"), "pmnist-demo"),
    "short": {name: f"{name}-short" for name in _IN_FULL},
    "paper": {name: name for name in _IN_FULL},
}
"""By scale, the preset that stands for one of the paper's size."""


@dataclass(frozen=True)
class Experiment:
    """One method under one protocol: everything that determines a run but its seed."""

    preset: str
    method: str
    protocol: Protocol
    surrogate: Surrogate

    @property
    def digest(self) -> str:
        """Eight hex digits that change with any setting, and not with fields that have their default."""
        usual = {f.name: f.default for part in (self.protocol, self.surrogate) for f in fields(part)}
        unusual = {name: value for name, value in _settings(self).items() if value != usual[name]}
        content = [self.preset, self.method, type(self.surrogate).__name__, unusual]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]

    def path(self, folder: Path, seed: int) -> Path:
        return Path(folder) / self.preset / f"{self.method}-{self.digest}-s{seed}.json"

    def check(self, record: Run, path: Path) -> None:
        """Raise BadInput unless the record at this path was made with these settings, those it knows of.

        A name says which settings differ from their defaults; if a default changes, the name does not.
        """
        known = {**record.protocol, **record.hyperparameters}
        for name, value in json.loads(json.dumps(_settings(self))).items():
            if name in known and known[name] != value:
                raise BadInput(f"{path}: made with {name}={known[name]}, not {value}; delete it and run again")

    @property
    def changes(self) -> list[str]:
        """The settings that differ from the preset's, as they are typed."""
        usual = _settings(experiment(self.preset, self.method))
        return [f"{name}={text(value)}" for name, value in _settings(self).items() if value != usual[name]]

    def command(self, seed: int) -> str:
        """What to type to make this run again."""
        changes = f" --set {' '.join(self.changes)}" if self.changes else ""
        return f"alasso run {self.preset} {self.method} --seed {seed}{changes}"


def experiment(preset: str, method: str, settings: Mapping[str, str] | None = None) -> Experiment:
    """The experiment of that name, with some settings changed; values as they are typed on a command line.

    Raises BadInput for a preset, method or setting that does not exist, and for a value that it cannot have.
    """
    if preset not in PRESETS:
        raise BadInput(f"preset {preset!r}: {choose(preset, PRESETS)}")
    if method not in METHODS:
        raise BadInput(f"method {method!r}: {choose(method, METHODS)}")
    chosen, base = METHODS[method], PRESETS[preset]
    surrogate = replace(chosen.surrogate, **base.hyperparameters.get(method, {}))
    usual = Experiment(preset, method, replace(base.protocol, **chosen.protocol), surrogate)
    protocol_names = {f.name for f in fields(Protocol)}
    protocol, hyperparameters = {}, {}
    for name, typed in (settings or {}).items():
        known = _settings(usual)
        if name not in known:
            raise BadInput(f"setting {name!r} of {method}: {choose(name, known)}")
        target = protocol if name in protocol_names else hyperparameters
        target[name] = _value(name, typed, known[name])
    for name, value in hyperparameters.items():
        if type(value) is float and LARGEST_FLOAT < abs(value) < math.inf:
            raise BadInput(f"{name}={value}: {name} must be a number of float32, {LARGEST_FLOAT} at most")
    todo = replace(
        usual, protocol=replace(usual.protocol, **protocol), surrogate=replace(usual.surrogate, **hyperparameters)
    )
    for clash, what in _clashes(todo, chosen.mean_field):
        if clash:
            raise BadInput(f"{method} with {what}")
    return todo


def _clashes(todo: Experiment, mean_field: bool) -> list[tuple[bool, str]]:
    """What a method and a protocol cannot both have: whether it is so, and what to say of it."""
    protocol, surrogate = todo.protocol, todo.surrogate
    convolutions, dropout = protocol.network != "mlp", f"dropout={text(protocol.dropout)}"
    drop = getattr(surrogate, "drop", False)
    mixed = protocol.joint and not isinstance(surrogate, NoSurrogate)
    usual = METHODS[todo.method].surrogate
    read = {name: getattr(surrogate, name, 0) for name in ("c_prime", "a_prime", "epsilon_prime")}  # by (7)
    unread = ", ".join(f"{name}={value}" for name, value in read.items() if value != getattr(usual, name, 0))
    preset = PRESETS[todo.preset].protocol
    permuted = METHODS[todo.method].protocol.get("permute_first", preset.permute_first) == protocol.permute_first
    widths = not convolutions or protocol.hidden == preset.hidden
    side = protocol.network == "table-d" or protocol.image_side == preset.image_side
    return [
        (not widths, f"hidden={text(protocol.hidden)}: {protocol.network} has widths of its own; leave it out"),
        (not side, f"image_side={protocol.image_side}: {protocol.network} takes images as they are; leave it out"),
        (
            convolutions and not permuted,
            f"permute_first={text(protocol.permute_first)}: split classes are not permuted; leave it out",
        ),
        (mixed, "joint=true: batches that mix all tasks need no surrogate; use the method multi"),
        (
            mean_field and convolutions,
            f"network={protocol.network}: the mean field is for the mlp; use a pmnist preset",
        ),
        (mean_field and any(protocol.dropout), f"{dropout}: the mean field has noise of its own; use dropout=0,0"),
        (drop and any(protocol.dropout), f"{dropout}: drop-transfer is dropout; set drop=false"),
        (
            unread and not surrogate.perfect,
            f"{unread}: (7) reads it, which perfect=false leaves out",
        ),
        (drop and convolutions, f"network={protocol.network}, which has dropout: drop-transfer too; set drop=false"),
    ]


def _settings(chosen: Experiment) -> dict:
    return {**asdict(chosen.protocol), **asdict(chosen.surrogate)}


def _value(name: str, typed: str, usual: object) -> object:
    """The typed text as a value of the same type as the usual one."""
    try:
        match usual:
            case bool():
                return {"true": True, "false": False}[typed.lower()]
            case float():
                return float(typed) + 0.0  # −0 is 0
            case tuple():
                return tuple(type(usual[0])(part) for part in typed.split(","))
            case _:
                return type(usual)(typed)
    except (ValueError, KeyError):
        kinds = {
            bool: "true or false",
            int: "a whole number",
            float: "a number",
            tuple: "numbers such as 200,200 or 0.2,0.5",
        }
        raise BadInput(f"{name}={typed}: {name} must be {kinds[type(usual)]}") from None
