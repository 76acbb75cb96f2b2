"""What can be asked for by name: the runs behind each figure and table of the paper, and those that choose settings.

Figure 2 is not here: it is a measurement of one trained network rather than of runs, see landscape.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from alasso.errors import BadInput, check_name
from alasso.experiments import Experiment, experiment
from alasso.presets import BOUNDS, METHODS, SCALES
from alasso.search import FINALISTS, FIRST_ROUND, GRIDS, SECOND_ROUND, SEED, tuned


@dataclass(frozen=True)
class Target:
    """The runs that a figure or table of the paper needs: every method under every variation of the settings.

    Or, as a `search`, the runs that choose the settings of one method.
    """

    about: str
    preset: str
    methods: tuple[str, ...]
    variations: tuple[Mapping[str, str], ...] = ({},)
    plot: str = "average_accuracy"
    """The function of plots.py that draws it on its page."""
    search: bool = False

    @property
    def first_seed(self) -> int:
        return SEED if self.search else 0

    def experiments(self, scale: str = "paper") -> list[Experiment]:
        """Raises BadInput for a scale that does not exist, or that this target does not have."""
        check_name(f"scale {scale!r}", scale, SCALES)
        if self.search and scale != "paper":
            raise BadInput(f"a search for {self.preset} at scale {scale!r}: it has one, take --scale paper")
        if not self.search and self.preset not in SCALES[scale]:
            raise BadInput(f"{self.preset} has no scale {scale!r}, which needs nothing to be downloaded; take short")
        preset, make = (self.preset, experiment) if self.search else (SCALES[scale][self.preset], tuned)
        return [make(preset, method, changes) for method in self.methods for changes in self.variations]


_FIGURE_5 = (
    "alasso-published",
    "alasso-paper",
    "alasso-si-importance",
    "alasso-symmetric",
    "si",
    "ewc",
    "vcl",
    *BOUNDS,
)
_ALL = (*_FIGURE_5, "online-ewc", "mas", "imm-mean", "imm-mode", "none", "dropout")

_TABLE_1 = tuple({"a": a} for a in ("0.8", "1", "2", "3", "4", "5"))

TARGETS = {
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


def _search(about: str, preset: str, method: str, conditions: Mapping, tried: tuple[Mapping, ...]) -> Target:
    about = f"{about} of {METHODS[method].label} for {preset}"
    variations = tuple({**conditions, **settings} for settings in tried)
    return Target(about, preset, (method,), variations, "final_accuracy", search=True)


TARGETS |= {
    f"search-{preset}-{method}": _search("settings", preset, method, FIRST_ROUND[preset], tried)
    for preset, methods in GRIDS.items()
    for method, tried in methods.items()
}

TARGETS |= {
    f"final-{preset}-{method}": _search("the three best settings", preset, method, SECOND_ROUND[preset], tried)
    for preset, methods in FINALISTS.items()
    for method, tried in methods.items()
}
