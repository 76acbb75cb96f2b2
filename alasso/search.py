"""How settings are chosen for benchmarks where the paper names none: one procedure, as many trials for each method.

Both rounds train on a stream that no reported run has, and test on held-out training images.
"""

from collections.abc import Mapping

from alasso.presets import Experiment, experiment

Settings = Mapping[str, str]
"""As they are typed on the command line."""

SEED = 1000

FIRST_ROUND = {"validation": "true", "tasks": "10"}
GRIDS: Mapping[str, tuple[Settings, ...]] = {
    **{
        method: tuple({"c": c, "damping": xi} for c in ("0.01", "0.1", "1", "10", "100") for xi in ("0.001", "0.1"))
        for method in ("si", "alasso-published")
    },
    "ewc": tuple({"c": c} for c in ("0.3", "1", "3", "10", "30", "100", "300", "1000", "3000", "10000")),
    "mas": tuple({"c": c} for c in ("0.0001", "0.0003", "0.001", "0.003", "0.01", "0.03", "0.1", "0.3", "1", "3")),
}
"""By method, what the first round tries: ten settings each, around those of the literature."""

SECOND_ROUND = {"validation": "true"}
"""What does best over ten tasks need not over thirty: the three best train again, on the whole of the stream."""

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
    }
}
"""By preset and method, the three best of the first round in the order of the second, as the records have it."""


def tuned(preset: str, method: str, settings: Settings | None = None) -> Experiment:
    """As `experiment`, with what a search found where the settings say nothing."""
    best, *_ = FINALISTS.get(preset.removesuffix("-short"), {}).get(method, ({},))
    return experiment(preset, method, {**best, **(settings or {})})
