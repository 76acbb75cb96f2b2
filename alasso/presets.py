"""Every preset and method as data: what is trained on what (Protocol), how, at what cost, with what to expect."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from alasso.protocol import Protocol
from alasso.rivals import EWC, IMM, MAS, VCL
from alasso.surrogates import ALASSO, SI, NoSurrogate

Surrogate = NoSurrogate | SI | ALASSO | EWC | MAS | IMM | VCL


@dataclass(frozen=True)
class Method:
    """A surrogate under a name, and what it changes in the protocol."""

    label: str
    surrogate: Surrogate
    protocol: Mapping = field(default_factory=dict)

    @property
    def mean_field(self) -> bool:
        """Whether it trains a Gaussian for each weight instead of a number."""
        return isinstance(self.surrogate, VCL)

    @property
    def short(self) -> str:
        """Its label where ALASSO is shown in one of its settings only."""
        return self.label.removesuffix(", published")


@dataclass(frozen=True)
class Preset:
    """A protocol under a name. `cost` is for one method and one seed; `expect` names its source."""

    about: str
    protocol: Protocol
    cost: str
    expect: str
    hyperparameters: Mapping[str, Mapping] = field(default_factory=dict)
    """By method, what its authors chose for natural images and not for permuted MNIST."""


PUBLISHED = ALASSO.published()

METHODS = {
    "none": Method("plain training", NoSurrogate()),
    "si": Method("SI", SI()),
    "alasso-published": Method("ALASSO, published", PUBLISHED),
    "alasso-paper": Method("ALASSO, paper", ALASSO(), {"permute_first": True}),
    # the ablations of Figures 5 and 7: one thing less than *published*
    "alasso-si-importance": Method("ALASSO without perfect Ω", replace(PUBLISHED, perfect=False)),
    "alasso-symmetric": Method("ALASSO without asymmetry", replace(PUBLISHED, a=1.0, epsilon=0.0)),
    "alasso-coupled": Method(
        "ALASSO without decoupling", replace(PUBLISHED, a_prime=PUBLISHED.a, epsilon_prime=PUBLISHED.epsilon)
    ),
    "ewc": Method("EWC", EWC()),
    "online-ewc": Method("online EWC", EWC(online=True)),
    "mas": Method("MAS", MAS()),
    "imm-mean": Method("IMM, mean", IMM()),
    "imm-mode": Method("IMM, mode", IMM(mode=True)),
    "vcl": Method("VCL", VCL()),
    "dropout": Method("plain with dropout", NoSurrogate(), {"dropout": (0.2, 0.5)}),
    "single": Method("single task", NoSurrogate(), {"fresh_network": True}),
    "multi": Method("multi task", NoSurrogate(), {"joint": True}),
}

ABLATIONS = ("alasso-si-importance", "alasso-symmetric", "alasso-coupled")
BOUNDS = ("single", "multi")
"""No rivals: they keep the old data, or a network for each task."""

NATURAL_IMAGES = {"si": {"damping": 1e-3}}
"""What SI's authors chose for split CIFAR; what a search found here is in `search.FOUND`."""

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
        expect="plain training loses a third of what it learned; the figures are in results/pmnist-demo",
    ),
    "pmnist10": Preset(
        "Permuted MNIST, 10 tasks: the protocol for which SI's authors published their curve.",
        Protocol(tasks=10),
        cost="20 to 50 minutes on one core that multiplies in bfloat16, longer on others: see results/pmnist10",
        expect="average accuracy after 10 tasks: SI .969, plain training .574 (stored results of ganguli-lab/pathint)",
    ),
    "pmnist30": Preset(
        "Permuted MNIST, 30 tasks (Figures 5 and 6 left, J, K, Table 1; taken for Figures 4 and 7, too).",
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
        hyperparameters=NATURAL_IMAGES,
    ),
    "split-tiny": Preset(
        "Tiny ImageNet at 224×224 in 30 tasks of 6 classes, Table D (Figure 9). Epochs and optimiser: as split-cifar.",
        Protocol("tiny-imagenet", 30, classes_per_task=6, network="table-d", epochs=60, reset_optimizer=True),
        cost="more than a day on one core that multiplies in bfloat16, three to four in float32: twelve times "
        "split-tiny-64; not measured",
        expect="average accuracy: ALASSO .594, single task .589, SI about 10 points below ALASSO (Figure 9)",
        hyperparameters=NATURAL_IMAGES,
    ),
    "split-tiny-64": Preset(
        "Split Tiny ImageNet at the images' own 64×64: a twelfth of the work.",
        Protocol(
            "tiny-imagenet", 30, classes_per_task=6, network="table-d", image_side=64, epochs=60, reset_optimizer=True
        ),
        cost="2.5 hours on one core that multiplies in bfloat16, 7 in float32, measured in results/split-tiny-64",
        expect="numbers of its own: those of Figure 9 are for 224×224",
        hyperparameters=NATURAL_IMAGES,
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
        expect="numbers of its own; methods can come in another order, too: see the book on the weight of the past",
    )


PRESETS |= {f"{name}-short": _short(name) for name in _IN_FULL}

SCALES = {
    "demo": dict.fromkeys(("pmnist10", "pmnist30", "pmnist100"), "pmnist-demo"),
    "short": {name: f"{name}-short" for name in _IN_FULL},
    "paper": {name: name for name in _IN_FULL},
}
"""By scale, the preset that stands for one of the paper's size."""
WHOLE = {short: name for name, short in SCALES["short"].items()}
"""By the name of a short preset, that of the whole one."""
