"""What a page says of a method: figure, tables and sentences from records, and its code. Nothing here trains."""

import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from alasso import evidence, plots, protocol
from alasso.errors import BadInput
from alasso.presets import BOUNDS, METHODS, PRESETS, WHOLE
from alasso.results import Run

CELLS = "kept, % | learned, % | forgetting, points"


def percent(shares) -> str:
    """As `plus_minus`, in percent."""
    return plus_minus(100 * np.asarray(shares))


def plus_minus(values, digits: int = 1, sign: str = "") -> str:
    """`mean ± sample standard deviation`, as a seed is a draw from all seeds; of a single value, itself."""
    deviation = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):{sign}.{digits}f}{deviation}"


def source(*things: Callable) -> str:
    """Markdown: the code of these functions and classes, as the package has it."""
    code = "\n\n".join(textwrap.dedent(inspect.getsource(thing)) for thing in things)
    return f"```python\n{code}```"


def name(run: Run) -> str:
    """The method's, with the hyper-parameters that are not its own."""
    others = changed(run.hyperparameters, vars(METHODS[run.method].surrogate))
    return METHODS[run.method].label + (f" with {', '.join(others)}" if others else "")


def changed(own: Mapping[str, object], usual: Mapping[str, object]) -> list[str]:
    """`name = value` for each of one's own settings that is not the usual."""
    return [f"{name} = {brief(value)}" for name, value in own.items() if value != usual[name]]


def brief(value: object) -> str:
    """A setting as a sentence or a table has it: 1 for 1.0."""
    return f"{value:g}" if isinstance(value, float) else protocol.text(value)


def scientific(value: float) -> str:
    """With two digits, as 2.6 · 10⁻⁵."""
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa} · 10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def head(columns: str) -> list[str]:
    """The first two lines of a Markdown table."""
    return [f"| {columns} |", f"|{'---|' * (columns.count('|') + 1)}"]


def cells(runs: list[Run]) -> str:
    """Under CELLS in a table: what these runs, seeds of one experiment, kept, learned and forgot."""
    return " | ".join([with_seeds(runs), percent(evidence.learned(runs)), percent(evidence.forgotten(runs))])


def comparison(groups: Mapping[str, list[Run]], heading: str = "method") -> str:
    """Markdown: by name, what runs of one experiment kept, learned and forgot; folded, the commands."""
    rows = head(f"{heading} | {CELLS}") + [f"| {name} | {cells(mine)} |" for name, mine in groups.items()]
    return "\n".join([*rows, commands(groups.items())])


def commands(groups: Iterable[tuple[str, list[Run]]]) -> str:
    """Markdown to follow a table: by name, the command for the first seed of some runs; folded, as they are long."""
    return folded("Commands", (f"- {name}: `{mine[0].again}`" for name, mine in groups))


def folded(summary: str, lines: Iterable[str]) -> str:
    """Markdown to follow something else: a line that unfolds these."""
    return "\n".join(["", f"<details><summary>{summary}</summary>", "", *lines, "", "</details>"])


def with_seeds(runs: list[Run]) -> str:
    """What is kept, in percent; if there are several seeds, with each of them in brackets."""
    return percent(evidence.kept(runs)) + (f" ({each(runs)})" if len(runs) > 1 else "")


def each(runs: list[Run]) -> str:
    """What is kept, seed by seed, in percent."""
    return ", ".join(f"{100 * value:.1f}" for value in evidence.kept(runs))


def commits(runs: list[Run]) -> str:
    """Those whose code made these runs."""
    return ", ".join(sorted({str(run.commit)[:7] + "+" * bool(run.dirty) for run in runs}))


def points(difference: float, more: str = "more", less: str = "less") -> str:
    """A difference of shares in words."""
    return f"{100 * abs(difference):.1f} points {less if difference < 0 else more}"


def effect(usual: list[Run], changed: list[Run]) -> str:
    """What a change does to what is kept, in points: as `percent`, of the differences seed by seed.

    Seeds that only one of the two has do not count; "not measured" where none is left.
    """
    found = evidence.differences(usual, changed)
    return plus_minus(100 * np.asarray(found), sign="+z") if found else "not measured"


def sureness(usual: list[Run], changed: list[Run]) -> str:
    """How sure a mean difference is, to follow it in a sentence: its standard error, or what stands in the way."""
    found = evidence.differences(usual, changed)
    if len(found) > 1:
        return f" (standard error {100 * evidence.standard_error(found):.1f} over {len(found)} seeds)"
    if found and len(usual) == len(changed) == 1:
        return ", with a single seed of each"
    if found:
        (seed,) = {run.seed for run in usual} & {run.seed for run in changed}
        return f" on seed {seed}, the only one that both have"
    return ", with no seed that both have"


def leader(runs: dict[str, list[Run]]) -> str:
    """A sentence: who keeps most of those that keep no old data, and how sure its lead over the next is.

    Empty where there are not two of these.
    """
    order = evidence.ranked(runs)
    if len(order) < 2:
        return ""
    first, second, *_ = order
    lead = points(evidence.mean_difference(runs[second], runs[first]))
    return (
        f"Of the {len(order)} methods that keep no old data and have run, "
        f"**{METHODS[first].label}** keeps most, {percent(evidence.kept(runs[first]))} %: {lead} than "
        f"{METHODS[second].label}{sureness(runs[second], runs[first])}."
    )


def figure(*methods: str) -> Figure:
    """Average accuracy of these methods, in their colours, against all others, in grey; a panel a preset.

    Raises BadInput if none of them has a record.
    """
    panels = _panels(methods)
    if not panels:
        raise BadInput(f"no run of {', '.join(methods)} is recorded; `alasso run PRESET {methods[0]}` makes one")
    drawing, axes = plt.subplots(len(panels), figsize=(6.0, 4.1 * len(panels)), squeeze=False)
    drawing.get_layout_engine().set(h_pad=0.12)
    for ax, (preset, runs) in zip(axes.flat, panels.items(), strict=True):
        plots.average_accuracy(ax, [run for mine in runs.values() for run in mine], front=methods)
        chosen, dirty = PRESETS[preset].protocol, any(run.dirty for mine in runs.values() for run in mine)
        ax.set_title("† code not committed" * dirty, loc="right", fontsize="small")
        ax.set_title(f"{preset}: {chosen.tasks} tasks of {chosen.epochs} epochs", loc="left", fontsize="medium")
    return drawing


def table(*methods: str) -> str:
    """Markdown: what these methods kept, learned and forgot, with every seed; where they stand; the commands."""
    rows, notes, made = head(f"method, preset | {CELLS}"), [], []
    for preset, runs in _panels(methods).items():
        for method in (method for method in methods if method in runs):
            mine = runs[method]
            name = f"{METHODS[method].label}, `{preset}`"
            rows.append(f"| {name} | {cells(mine)} |")
            notes += [f"- {name}: {stands}" for stands in filter(None, [standing(method, runs)])]
            made.append(f"- {name}: {provenance(mine)}")
    return "\n".join([*rows, "", *notes, folded("Commands, commits and versions", made)])


def standing(method: str, runs: dict[str, list[Run]]) -> str:
    """A sentence on where a method ends among those that keep no old data; of a part of one, how far off; no bounds."""
    order = evidence.ranked(runs)
    if method in BOUNDS or len(order) < 2:
        return ""
    place = [f"place {order.index(method) + 1} of {len(order)}"] if method in order else []
    landmarks = [other for other in plots.LANDMARKS if other != method and other in runs]
    above = {other: evidence.mean_difference(runs[other], runs[method]) for other in landmarks}
    distances = [f"{points(more, 'above', 'below')} {METHODS[other].label}" for other, more in above.items()]
    return f"{', '.join([*place, *distances])}."


def provenance(runs: list[Run]) -> str:
    """A sentence with the command of the first seed, the commits and the versions behind some runs."""
    versions = ", ".join(sorted({run.versions["torch"].partition("+")[0] for run in runs}))
    seeds = f"{len(runs)} seed{'s' * (len(runs) > 1)} in all"
    return f"`{runs[0].again}`, {seeds}; commit {commits(runs)}, PyTorch {versions}."


def settings(*methods: str) -> str:
    """Markdown: the settings of these methods and what each changes in the protocol; after the first, what differs."""
    rows = head("method | on the command line | settings")
    own = {name: {**vars(METHODS[name].surrogate), **METHODS[name].protocol} for name in methods}
    for name, values in own.items():
        same = own[methods[0]] if name != methods[0] else {}
        listed = [f"`{key}={protocol.text(value)}`" for key, value in values.items() if same.get(key) != value]
        start = f"as `{methods[0]}`, with " if values.keys() & same.keys() else ""
        rows.append(f"| {METHODS[name].label} | `{name}` | {start}{', '.join(listed) or 'none'} |")
    return "\n".join(rows)


def benchmark(groups: Iterable[list[Run]]) -> str:
    """Markdown: what each group of runs kept, learned and forgot, with every seed and cost; best first; the commands.

    A group is one method with one setting, seed by seed, and not empty. The cost is that of the loop and precision of
    the command.
    """
    rows = head(f"method | {CELLS} | core hours, fastest run")
    order = sorted(groups, key=lambda mine: -np.mean(evidence.kept(mine)))
    for mine in order:
        alike = [run for run in mine if (run.loop, run.precision) == (mine[0].loop, mine[0].precision)]
        hours = min(run.core_seconds for run in alike) / 3600
        rows.append(f"| {name(mine[0])} | {cells(mine)} | {hours:.2g} |")
    return "\n".join([*rows, commands((name(mine[0]), mine) for mine in order)])


def conditions(preset: str, runs: list[Run]) -> str:
    """A few sentences: data, tasks, network, training, and what made the runs.

    All share what is said. Raises BadInput if there is none.
    """
    if not runs:
        raise BadInput(f"no run of {preset} with these settings is recorded; `alasso run {preset} METHOD` makes one")
    chosen = runs[0].protocol
    classes = f" of {chosen['classes_per_task']} classes" if chosen["classes_per_task"] else ""
    moments = "reset between tasks" if chosen["reset_optimizer"] else "kept from task to task"
    seeds = sorted({run.seed for run in runs})
    made = f"{len(runs)} run{'s' * (len(runs) > 1)}, seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    ways = ", ".join(sorted({f"{run.loop} loop in {run.precision}" for run in runs}))
    return (
        f"`{preset}`: {PRESETS[preset].about} {chosen['tasks']} tasks{classes}, {chosen['epochs']} epochs a task in "
        f"batches of {chosen['batch_size']}, by Adam at {chosen['learning_rate']:g} with its moments {moments}; "
        f"{runs[0].parameters:,} parameters. {made}; {ways}; commit {commits(runs)}."
    )


def findings(runs: dict[str, list[Run]]) -> str:
    """Markdown: who keeps most of those that keep no old data, by how much, and what each pays for it."""
    best = evidence.ranked(runs)[0]
    lines = [*filter(None, [leader(runs)])]
    for name in sorted(runs.keys() - set(BOUNDS), key=lambda name: -np.mean(evidence.kept(runs[name]))):
        behind = f"keeps {points(evidence.mean_difference(runs[best], runs[name]))}; it " if name != best else ""
        learned = np.mean(evidence.learned(runs[name]))
        line = f"{METHODS[name].label} {behind}learned tasks to {100 * learned:.1f} % on average"
        if "single" in runs:
            gain = learned - np.mean(evidence.kept(runs["single"]))
            line += f", {points(gain, 'above', 'below')} a network of its own"
        lines.append(f"{line}, and lost {100 * np.mean(evidence.forgotten(runs[name])):.1f} points.")
    return "\n".join(f"- {line}" for line in lines)


def _panels(methods: tuple[str, ...]) -> dict[str, dict[str, list[Run]]]:
    """For each preset with records of some of these methods: those of all methods; a short one beside the whole."""
    order = list(PRESETS)
    panels = {
        preset: evidence.of_preset(preset)
        for preset in sorted(PRESETS, key=lambda name: order.index(WHOLE.get(name, name)))
    }
    return {preset: runs for preset, runs in panels.items() if not runs.keys().isdisjoint(methods)}
