"""How settings are chosen: one procedure for a benchmark, as many trials for each method.

All trials train on a stream that no reported run has, and test on held-out training images.
"""

from collections.abc import Mapping
from itertools import product

from alasso.experiments import Experiment, experiment
from alasso.presets import WHOLE

Settings = Mapping[str, str]
"""As they are typed on the command line."""

SEED = 1000

FIRST_ROUND: Mapping[str, Settings] = {
    "pmnist30": {"validation": "true", "epochs": "2"},
    "split-cifar": {"validation": "true", "tasks": "10"},
    "split-tiny-64": {"validation": "true", "tasks": "10", "epochs": "15"},
}
"""By preset, what makes a trial cheap: fewer epochs, or fewer tasks."""


def _grid(**values: tuple[str, ...]) -> tuple[Settings, ...]:
    """Every combination."""
    return tuple(dict(zip(values, chosen, strict=True)) for chosen in product(*values.values()))


_FOUR = (*_grid(c=("0.1", "1", "10"), damping=("0.1",)), {"c": "1", "damping": "0.001"})
_TEN = _grid(c=("0.01", "0.1", "1", "10", "100"), damping=("0.001", "0.1"))
GRIDS: Mapping[str, Mapping[str, tuple[Settings, ...]]] = {
    "pmnist30": {
        "si": _FOUR,
        "alasso-published": _FOUR,
        "ewc": _grid(c=("10", "30", "100", "300")),
        "online-ewc": _grid(c=("10", "30", "100", "300")),
        "mas": _grid(c=("0.003", "0.01", "0.03", "0.1")),
    },
    "split-cifar": {"si": _TEN, "alasso-published": _TEN},
    "split-tiny-64": {
        "si": (*_grid(c=("1", "10"), damping=("0.1",)), *_grid(c=("0.1", "1"), damping=("0.001",))),
        "alasso-published": (*_grid(c=("1",), damping=("0.001", "0.01", "0.1")), {"c": "10", "damping": "0.1"}),
    },
}
"""By preset and method, what the first round tries: around the settings of the literature, as many for each method."""


TRIED = GRIDS["pmnist30"]
"""By method, what the search on permuted MNIST tried; it stopped after its first, cut round, which settles nothing."""


def candidates(method: str) -> tuple[Settings, ...]:
    """The settings that a reported run of permuted MNIST can have: the method's own, and those that were TRIED."""
    return ({}, *TRIED.get(method, ()))


def counted(preset: str, method: str) -> tuple[Settings, ...]:
    """The settings of a rival of which the best counts: what its search settled on, or all `candidates`."""
    return candidates(method) if preset.startswith("pmnist") else ({},)


FINALISTS: Mapping[str, Mapping[str, tuple[Settings, ...]]] = {
    "split-cifar": {
        "si": (
            {"c": "10", "damping": "0.1"},
            {"c": "0.1", "damping": "0.001"},
            {"c": "100", "damping": "0.1"},
        ),
        "alasso-published": (
            {"c": "1", "damping": "0.001"},
            {"c": "100", "damping": "0.1"},
            {"c": "0.1", "damping": "0.001"},
        ),
    },
    "split-tiny-64": {
        "si": (
            {"c": "10", "damping": "0.1"},
            {"c": "0.1", "damping": "0.001"},
            {"c": "1", "damping": "0.001"},
        ),
        "alasso-published": (
            {"c": "10", "damping": "0.1"},
            {"c": "1", "damping": "0.01"},
            {"c": "1", "damping": "0.001"},
        ),
    },
}
"""By preset and method, the three best of the first round in the order of the second, as the records have it."""

SECOND_ROUND: Mapping[str, Settings] = {
    preset: {name: value for name, value in FIRST_ROUND[preset].items() if name != "tasks"} for preset in FINALISTS
}
"""By preset, the conditions of the three best: all tasks, as what is best after ten need not be best after thirty."""

FOUND: dict[str, dict[str, Settings]] = {
    preset: {method: best for method, (best, *_) in methods.items()} for preset, methods in FINALISTS.items()
}
"""By preset and method, the best of the last round of its search; enlarged images have had no search of their own."""
FOUND["split-tiny"] = FOUND["split-tiny-64"]


def tuned(preset: str, method: str, settings: Settings | None = None) -> Experiment:
    """As `experiment`, with what was FOUND where the settings say nothing."""
    best = FOUND.get(WHOLE.get(preset, preset), {}).get(method, {})
    return experiment(preset, method, {**best, **(settings or {})})
