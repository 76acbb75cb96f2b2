"""`alasso collect`: every result, where it comes from, and whether formulas, settings and data are still its own."""

import ast
import csv
import shlex
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from alasso import metrics, plan, results
from alasso.errors import BadInput
from alasso.experiments import Experiment, experiment
from alasso.protocol import text
from alasso.results import Run

FORMULAS = ("formulas", "surrogates", "rivals", "importance")  # the modules that say what a method is
SAME = {"SI": "99eeb83", "ALASSO": "83924b7"}
"""Definitions that a commit wrote anew without a change to any result: runs on both sides of it gave the same bits."""


def run(folder: Path, shown: Literal["list", "csv", "check"] = "list") -> int:
    """Print a line for each result, to check also what is wrong with it; returns 1 if then anything is, else 0.

    As CSV a line has every setting and summary in a column of its own.
    """
    check = shown == "check"
    paths = results.records(folder)
    if not paths:
        raise BadInput(f"{folder}: no results here; `alasso run` makes one")
    rows, complaints = [("result", "seed", "settings", "kept", "took", "commit")], []
    records = {}
    for path in paths:
        name = path.relative_to(folder).as_posix()
        try:
            record = results.load(path)
        except BadInput as error:
            complaints.append((name, str(error).removeprefix(f"{path}: ")))
            if not check:
                print(f"alasso: {error}", file=sys.stderr)
            continue
        rows.append((name, str(record.seed), *_row(record)))
        if check:
            complaints += [(name, what) for what in problems(record, path)]
        records[name] = record
    if shown == "csv":
        _print_csv(records)
    else:
        _print_list(rows)
    if check:
        complaints += other_data(records)
        for name, what in complaints:
            print(f"{name}: {what}")
        bad = len({name for name, _ in complaints})
        well = "all with formulas and settings as here, and one content of each data set"
        print(f"{len(paths)} results, {f'{bad} to look at' if bad else well}")
    return 1 if check and complaints else 0


def problems(record: Run, path: Path) -> Iterable[str]:
    """Why this record may not have the formulas and settings of the code here.

    Loops, networks (and with them what sums the gradients of single images) and data are not compared.
    """
    try:
        named = _named(record)
        named.check(record, path)
        path = path.resolve()
        if (usual := named.path(path.parent.parent, record.seed)) != path:
            yield f"its settings belong to {usual.name}"
    except BadInput as error:
        yield f"disagrees with its preset: {error}"
        return
    if record.dirty:
        yield "made by code that was not committed"
    if record.commit is None:
        yield "made outside a git checkout: its formulas are unknown"
        return
    changed = _changed_since(record.commit, type(named.surrogate).__name__)
    if changed is None:
        yield f"commit {record.commit[:7]} is not in this checkout: its formulas are unknown"
    elif changed:
        yield f"formulas changed since {record.commit[:7]}: {', '.join(changed)}"


@cache
def _changed_since(commit: str, name: str) -> list[str] | None:
    """The `changed_formulas` from a commit to the files; None if git does not have it."""
    then = _definitions(commit)
    return None if then is None else changed_formulas(name, then, _definitions(None))


def other_data(records: Mapping[str, Run]) -> Iterable[tuple[str, str]]:
    """Which of these, by name, had another content of their data set than the first that has one of its name."""
    known: dict[str, tuple[str, str]] = {}
    for name, record in records.items():
        dataset = record.protocol.get("dataset", "data set")
        first, digest = known.setdefault(dataset, (name, record.dataset_sha256))
        if record.dataset_sha256 != digest:
            yield name, f"its {dataset} is not that of {first}: they cannot be compared"


def changed_formulas(name: str, then: dict[str, ast.stmt], now: dict[str, ast.stmt]) -> list[str]:
    """What differs between two states of the formulas, of all that the definition of this name uses, in any depth."""
    todo, seen, changed = [name], {name}, []
    while todo:
        name = todo.pop(0)
        old, new = then.get(name), now.get(name)
        if not (_alike(old, new) or (name in SAME and _same(old, new, name))):
            changed.append(name)
        for node in (node for tree in (old, new) if tree for node in ast.walk(tree)):
            used = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None
            if used in now and used not in seen:
                seen.add(used)
                todo.append(used)
    return changed


def _alike(old: ast.stmt | None, new: ast.stmt | None) -> bool:
    return old is not None and new is not None and ast.dump(old) == ast.dump(new)


def _same(old: ast.stmt | None, new: ast.stmt | None, name: str) -> bool:
    """Whether these are the two sides of the commit that changed the definition's text only."""
    before, after = (_definitions(commit) or {} for commit in (f"{SAME[name]}~", SAME[name]))
    return _alike(old, before.get(name)) and _alike(new, after.get(name))


@cache
def _definitions(commit: str | None) -> dict[str, ast.stmt] | None:
    """What the modules of formulas define at the top, by name, at a commit or in the files; None if git has it not.

    Without docstrings, and without the defaults of fields: a record has its settings, and they are compared.
    """
    found = {}
    for module in FORMULAS:
        path = f"alasso/{module}.py"
        source = results.git("show", f"{commit}:{path}") if commit else (results.ROOT / path).read_text("utf-8")
        if source is None:
            return None
        for statement in ast.parse(source).body:
            match statement:
                case ast.FunctionDef() | ast.ClassDef():
                    found[statement.name] = _plain(statement)
                case ast.Assign(targets=[ast.Name(id=name)]):
                    found[name] = statement
    return found


def _plain(tree: ast.stmt) -> ast.stmt:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            text = [s for s in node.body if isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)]
            fields = [s for s in node.body if isinstance(s, ast.AnnAssign)] if isinstance(node, ast.ClassDef) else []
            node.body = [statement for statement in node.body if statement not in [*text, *fields]]
    return tree


def _named(record: Run) -> Experiment:
    """The experiment that the record's command makes now."""
    words = shlex.split(record.command)
    changes = dict(word.split("=", 1) for word in words if "=" in word)
    return experiment(record.preset, record.method, changes)


def _row(record: Run) -> tuple[str, ...]:
    changes = [word for word in shlex.split(record.command) if "=" in word]
    kept = metrics.final_accuracy(record.matrix)
    commit = (record.commit or "unknown")[:7] + " dirty" * bool(record.dirty)
    return " ".join(changes) or "-", f"{kept:.4f}", plan.duration(sum(record.seconds)), commit


def _print_csv(records: Mapping[str, Run]) -> None:
    """Accuracies and their summaries are shares; a setting that a method does not have is empty."""
    rows = [
        {
            "result": name,
            "preset": record.preset,
            "method": record.method,
            "seed": record.seed,
            "kept": metrics.final_accuracy(record.matrix),
            "learned": metrics.learning_accuracy(record.matrix),
            "forgetting": metrics.forgetting(record.matrix),
            "spread": float(metrics.spread(record.matrix)[-1]),
            "core_seconds": record.core_seconds,
            "loop": record.loop,
            "precision": record.precision,
            "commit": record.commit,
            "dirty": record.dirty,
            "command": record.again,
            **{name: text(value) for name, value in {**record.protocol, **record.hyperparameters}.items()},
        }
        for name, record in records.items()
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _print_list(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
