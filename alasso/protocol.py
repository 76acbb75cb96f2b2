"""What is trained on what: the fields of an experiment that are not its method's."""

from dataclasses import dataclass
from itertools import pairwise
from math import prod

from alasso import datasets
from alasso.errors import BadInput, check_name, require

NETWORKS = ("mlp", "table-c", "table-d")
INITIALISATIONS = ("glorot", "pytorch")
LARGEST = 100_000  # of a count: anything more is a slip of the finger, and would end in a lack of memory
LARGEST_SEED = 10**18 - 1
FASTEST = 1e37  # Adam's first step has the learning rate ten times over, and float32 must hold that
MOST_WEIGHTS = 10**9  # a run holds about a dozen vectors of this length


@dataclass(frozen=True)
class Protocol:
    """What is trained on what. Every field can be changed with `--set` and is kept in the result.

    A field that is added later takes as its default what was done before it, so that results keep their names.
    """

    dataset: str = "mnist"
    """Name of the data set, see datasets.py."""
    tasks: int = 30
    """Length of the stream."""
    permute_first: bool = False
    """Permute the pixels of the first task too. Both published codes leave it as it is."""
    classes_per_task: int = 0
    """Split the classes into tasks of so many; 0: every task has all classes, and its pixels permuted."""
    network: str = "mlp"
    """mlp (Table B), table-c or table-d."""
    hidden: tuple[int, ...] = (2000, 2000)
    """Widths of the mlp's hidden layers."""
    dropout: tuple[float, ...] = (0.0, 0.0)
    """Shares of the mlp's inputs and hidden units that are dropped in training; Tables C and D have their own."""
    image_side: int = 224
    """Pixels a side that table-d enlarges its images to."""
    initialisation: str = "glorot"
    """glorot (Keras' default, so that of both published codes) or pytorch (that of torch.nn); see networks.py."""
    epochs: int = 20
    """Passes over the training images of each task."""
    batch_size: int = 256
    """Images a step."""
    learning_rate: float = 1e-3
    """Adam's; its betas are (0.9, 0.999)."""
    reset_optimizer: bool = False
    """Forget Adam's moments when a task ends. Both published codes of permuted MNIST keep them."""
    fresh_network: bool = False
    """Start every task from a new network and test it on its own task only: the upper bound *single task*."""
    joint: bool = False
    """Mix all tasks so far in every batch: the upper bound *multi task*."""
    validation: bool = False
    """Train without a tenth of the training images and test on that: for choosing settings, never for reporting."""

    def __post_init__(self):
        names = {"dataset": datasets.NAMES, "network": NETWORKS, "initialisation": INITIALISATIONS}
        for name, known in names.items():
            check_name(f"{name}={getattr(self, name)}", getattr(self, name), known)
        for name in ("tasks", "epochs", "batch_size"):
            value = getattr(self, name)
            require(1 <= value <= LARGEST, name, value, f"a whole number ≥ 1, {LARGEST} at most")
        widths = "one or more widths ≥ 1, such as 2000,2000"
        require(min(self.hidden, default=0) >= 1, "hidden", text(self.hidden), widths)
        if self.mlp_weights > MOST_WEIGHTS:
            raise BadInput(
                f"hidden={text(self.hidden)}: more than {MOST_WEIGHTS} weights; take fewer or narrower layers"
            )
        classes, side = self.classes_per_task, self.image_side
        require(classes == 0 or classes >= 2, "classes_per_task", classes, "0 or at least 2")
        shares = len(self.dropout) == 2 and all(0 <= rate < 1 for rate in self.dropout)
        require(shares, "dropout", text(self.dropout), "two shares below 1, such as 0.2,0.5")
        poolings = "a multiple of 32, for five poolings, up to 1024"
        require(32 <= side <= 1024 and side % 32 == 0, "image_side", side, poolings)
        rate = f"a finite number > 0, {FASTEST} at most"
        require(0 < self.learning_rate <= FASTEST, "learning_rate", self.learning_rate, rate)
        if (self.network == "mlp") == (self.classes_per_task > 0):
            raise BadInput(
                f"network={self.network}, classes_per_task={self.classes_per_task}: the mlp goes with permuted "
                "pixels (classes_per_task=0), table-c and table-d with split classes"
            )
        if any(self.dropout) and self.network != "mlp":
            raise BadInput(f"dropout={text(self.dropout)}: {self.network} has dropout of its own; leave it at 0,0")
        if self.joint and self.classes_per_task:
            raise BadInput("joint=true: mixed batches are for permuted pixels, where all tasks share their outputs")
        size = datasets.SIZES[self.dataset]
        if self.network != "mlp" and size.channels != 3:
            raise BadInput(
                f"network={self.network}: it takes colour images, which {self.dataset} does not have; use mlp"
            )
        if self.tasks * classes > size.classes:
            raise BadInput(
                f"tasks={self.tasks}: {self.dataset} has {size.classes} classes, enough for "
                f"{size.classes // classes} tasks of {classes}"
            )

    @property
    def mlp_weights(self) -> int:
        """Weights of the mlp, without biases: the multiplications that one image takes."""
        size = datasets.SIZES[self.dataset]
        return sum(map(prod, pairwise((size.inputs, *self.hidden, size.classes))))


def whole_number(name: str, typed: str, least: int, most: int) -> int:
    """A count or a seed as it is typed. Raises BadInput, which calls it by this name, for anything else."""
    if not (typed.isascii() and typed.isdigit() and len(typed) < 19 and least <= int(typed) <= most):
        raise BadInput(f"{name} {typed}: must be a whole number ≥ {least}, {most} at most")
    return int(typed)


def text(value: object) -> str:
    """A setting as it is typed on a command line."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
