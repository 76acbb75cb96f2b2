"""Every experiment as data: what is trained on what (Protocol), by which method, at what cost, with what to expect."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from alasso.errors import BadInput
from alasso.protocol import Protocol, choose, text
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
    """A protocol under a name. `cost` is for one method and one seed on 2 cores; `expect` names its source."""

    about: str
    protocol: Protocol
    cost: str
    expect: str
    hyperparameters: Mapping[str, Mapping] = field(default_factory=dict)
    """By method, what its authors chose for this benchmark and not for permuted MNIST."""


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
        cost="3.5 days on one core: twelve times the pixels of split-tiny-64; not measured",
        expect="average accuracy: ALASSO .594, single task .589, SI about 10 points below ALASSO (Figure 9)",
        hyperparameters={"si": {"damping": 1e-3}},
    ),
    "split-tiny-64": Preset(
        "The same at Tiny ImageNet's own 64×64: a twelfth of the work.",
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
        cost=f"a quarter of {name}'s",
        expect=f"the order of {name}'s methods; its numbers are for {full.protocol.epochs} epochs",
    )


PRESETS |= {f"{name}-short": _short(name) for name in _IN_FULL}

SCALES = {
    "demo": dict.fromkeys(("pmnist10", "pmnist30", "pmnist100"), "pmnist-demo"),
    "short": {name: f"{name}-short" for name in _IN_FULL},
    "paper": {name: name for name in _IN_FULL},
}
"""By scale, the preset that stands for one of the paper's size."""


GRIDS: Mapping[str, tuple[Mapping[str, str], ...]] = {
    **{
        method: tuple({"c": c, "damping": xi} for c in ("0.01", "0.1", "1", "10", "100") for xi in ("0.001", "0.1"))
        for method in ("si", "alasso-published")
    },
    "ewc": tuple({"c": c} for c in ("0.3", "1", "3", "10", "30", "100", "300", "1000", "3000", "10000")),
    "mas": tuple({"c": c} for c in ("0.0001", "0.0003", "0.001", "0.003", "0.01", "0.03", "0.1", "0.3", "1", "3")),
}
"""By method, the settings that a search tries: ten of each, around those of the literature."""

SEARCH = {"validation": "true", "tasks": "10"}
SEARCH_SEED = 1000
"""A search trains the first ten tasks of streams that no reported run has, and tests on held-out training images."""

FINAL = {"validation": "true"}
"""What does best over ten tasks need not over thirty: a search's three best train again on the whole of its stream."""

FINALISTS: Mapping[str, Mapping[str, tuple[Mapping[str, str], ...]]] = {
    "split-cifar": {
        "si": (
            {"c": "10", "damping": "0.1"},
            {"c": "0.1", "damping": "0.001"},
            {"c": "100", "damping": "0.1"},
        ),
        "alasso-published": (
            {"c": "0.1", "damping": "0.001"},
            {"c": "1", "damping": "0.001"},
            {"c": "100", "damping": "0.1"},
        ),
    }
}
"""By preset and method, the three best of its search, the best first; a test holds them against the records."""

TUNED: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "split-cifar": {"si": {"c": "10", "damping": "0.1"}, "alasso-published": {"c": "1", "damping": "0.001"}},
}
"""By preset and method, the best of its finalists; a test holds it against their records."""


def tuned(preset: str, method: str, settings: Mapping[str, str] | None = None) -> "Experiment":
    """As `experiment`, with what a search found where the settings say nothing."""
    found = TUNED.get(preset.removesuffix("-short"), {}).get(method, {})
    return experiment(preset, method, {**found, **(settings or {})})


@dataclass(frozen=True)
class Target:
    """The runs that a figure or table of the paper needs: every method under every variation of the settings.

    Or, as a `search`, the runs that choose the settings of one method.
    """

    about: str
    preset: str
    methods: tuple[str, ...]
    variations: tuple[Mapping[str, str], ...] = ({},)
    plot: str | None = "average_accuracy"
    """The function of plots.py that draws it on its page; None if records do not suffice."""
    search: bool = False

    @property
    def first_seed(self) -> int:
        return SEARCH_SEED if self.search else 0

    def experiments(self, scale: str = "paper") -> list["Experiment"]:
        """Raises BadInput for a scale that does not exist, or that this target does not have."""
        if scale not in SCALES:
            raise BadInput(f"scale {scale!r}: {choose(scale, SCALES)}")
        if self.preset not in SCALES[scale]:
            raise BadInput(f"{self.preset} has no scale {scale!r}, which needs nothing to be downloaded; take short")
        preset = SCALES[scale][self.preset]
        make = experiment if self.search else tuned
        return [make(preset, method, changes) for method in self.methods for changes in self.variations]


_ABLATIONS = ("alasso-si-importance", "alasso-symmetric")
_FIGURE_5 = ("alasso-published", "alasso-paper", *_ABLATIONS, "si", "ewc", "vcl", "single", "multi")
_ALL = (*_FIGURE_5, "online-ewc", "mas", "imm-mean", "imm-mode", "none", "dropout")

_TABLE_1 = tuple({"a": a} for a in ("0.8", "1", "2", "3", "4", "5"))

TARGETS = {
    "figure-2": Target("loss of task 1 along single parameters", "pmnist30", ("none",), ({"tasks": "1"},), None),
    "figure-4": Target("accuracy on single tasks", "pmnist30", ("alasso-published", "si"), plot="task_accuracy"),
    "figure-5-left": Target("average accuracy, 30 tasks", "pmnist30", _FIGURE_5),
    "figure-5-right": Target("average accuracy, 100 tasks", "pmnist100", _FIGURE_5),
    "figure-6-left": Target("spread over tasks, 30 tasks", "pmnist30", _FIGURE_5, plot="spread"),
    "figure-6-right": Target("spread over tasks, 100 tasks", "pmnist100", _FIGURE_5, plot="spread"),
    "figure-7": Target("with and without decoupling", "pmnist30", ("alasso-published", "alasso-coupled")),
    "figure-8": Target("split CIFAR-10/100", "split-cifar", ("si", "single", "alasso-published"), plot="final_by_task"),
    "figure-9": Target("split Tiny ImageNet", "split-tiny", ("si", "single", "alasso-published"), plot="final_by_task"),
    "figure-j": Target("average accuracy, all methods", "pmnist30", _ALL),
    "figure-k": Target("spread over tasks, all methods", "pmnist30", _ALL, plot="spread"),
    "table-1-left": Target(
        "accuracy against a, 30 tasks", "pmnist30", ("alasso-published",), _TABLE_1, "final_accuracy"
    ),
    "table-1-right": Target(
        "accuracy against a, 100 tasks", "pmnist100", ("alasso-published",), _TABLE_1, "final_accuracy"
    ),
}

TARGETS |= {
    f"search-{preset}-{method}": Target(
        f"settings of {METHODS[method].label} for {preset}",
        preset,
        (method,),
        tuple({**SEARCH, **settings} for settings in GRIDS[method]),
        "final_accuracy",
        search=True,
    )
    for preset, methods in {"pmnist30": GRIDS, "split-cifar": ("si", "alasso-published")}.items()
    for method in methods
}

TARGETS |= {
    f"final-{preset}-{method}": Target(
        f"the three best settings of {METHODS[method].label} for {preset}, over all its tasks",
        preset,
        (method,),
        tuple({**FINAL, **settings} for settings in finalists),
        "final_accuracy",
        search=True,
    )
    for preset, methods in FINALISTS.items()
    for method, finalists in methods.items()
}


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
    todo = replace(
        usual, protocol=replace(usual.protocol, **protocol), surrogate=replace(usual.surrogate, **hyperparameters)
    )
    if todo.protocol.joint and not isinstance(todo.surrogate, NoSurrogate):
        raise BadInput(f"joint=true with {method}: batches that mix all tasks need no surrogate; use the method multi")
    if chosen.mean_field and todo.protocol.network != "mlp":
        raise BadInput(
            f"{method} with network={todo.protocol.network}: the mean field is for the mlp; use a pmnist preset"
        )
    if chosen.mean_field and any(todo.protocol.dropout):
        raise BadInput(f"{method} with dropout={text(todo.protocol.dropout)}: the mean field has noise of its own")
    return todo


def _settings(chosen: Experiment) -> dict:
    return {**asdict(chosen.protocol), **asdict(chosen.surrogate)}


def _value(name: str, typed: str, usual: object) -> object:
    """The typed text as a value of the same type as the usual one."""
    try:
        match usual:
            case bool():
                return {"true": True, "false": False}[typed.lower()]
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
