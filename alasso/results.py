"""One JSON file per run and seed, with everything needed to trust it and to make it again."""

import json
import os
import platform
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

import alasso
from alasso.errors import BadInput

SCHEMA = 1
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Run:
    """The record of one run. Accuracies are shares in [0, 1], times seconds, dates UTC in ISO 8601."""

    schema: int
    preset: str
    method: str
    seed: int
    command: str
    protocol: dict
    hyperparameters: dict
    accuracy: list  # (T, T): test accuracy on task k after training task n; None above the diagonal
    loss: list  # (T,): mean training loss of the task alone over its last epoch
    seconds: list  # (T,), wall time: training, consolidation and evaluation of each task
    parameters: int
    dataset_sha256: str
    device: str
    precision: str  # of the matrix products in training
    threads: int
    versions: dict
    commit: str | None  # None outside a git checkout
    dirty: bool | None  # whether the code differed from that commit
    started: str
    finished: str
    loop: str = "reference"  # or "fast", compiled, or "fast, uncompiled"; records older than the field have the default

    @property
    def matrix(self) -> np.ndarray:
        """The accuracy matrix, (T, T) float64, NaN above the diagonal. See metrics.py."""
        return np.array(self.accuracy, dtype=float)

    @property
    def again(self) -> str:
        """The command with the loop, the precision and the device that made this record, whatever the machine.

        `command` alone trains by the fast loop, in bfloat16 where the processor has it. What is left is the rounding,
        of other libraries and processors.
        """
        missing = "--reference" if self.loop == "reference" else f"--precision {self.precision}"
        words = [self.command] + [missing] * (missing.split()[0] not in self.command.split())
        return " ".join(words + [f"--device {self.device}"] * (self.device != "cpu"))

    @property
    def core_seconds(self) -> float:
        """How long it took, times its threads."""
        return sum(self.seconds) * self.threads


def project() -> Path:
    """The checkout that alasso was installed from, else the working directory; `results/` in it is the default."""
    return ROOT if (ROOT / "pyproject.toml").exists() else Path.cwd()


def folder() -> Path:
    """Where records are unless another place is named: the project's results/."""
    return project() / "results"


def save(run: Run, path: Path) -> None:
    """Write the record whole or not at all."""
    # One row of the matrix a line: a record that a person can read and a diff can show.
    rows = ",\n  ".join(json.dumps(row) for row in run.accuracy)
    text = json.dumps({**asdict(run), "accuracy": "@"}, indent=1).replace('"@"', f"[\n  {rows}\n ]", 1)
    with whole(path) as file:
        file.write(text.encode() + b"\n")


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which appears at `path` when all of it is on the disk, or never.

    Raises BadInput if it cannot be written: disk full, folder gone or read-only. What was at `path` is then untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=".partial")
        try:
            with os.fdopen(descriptor, "w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(partial, 0o644)
            os.replace(partial, path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}); make room or name another folder") from None


def load(path: Path) -> Run:
    """Read a record. Raises BadInput for a file that is torn, of another schema, or not a record at all."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise BadInput(f"{path}: schema {content['schema']}; this version of alasso reads schema {SCHEMA}")
        new = {f.name: f.default for f in fields(Run) if f.default is not MISSING}
        run = Run(**{field.name: (new | content)[field.name] for field in fields(Run)})
        if any(not isinstance(getattr(run, field.name), field.type) for field in fields(Run)):
            raise TypeError
        tasks = run.protocol["tasks"]
        square = len(run.accuracy) == tasks and all(len(row) == tasks for row in run.accuracy)
        each = np.array([run.loss, run.seconds], dtype=float)
        if each.shape != (2, tasks) or not np.isfinite(each).all():
            raise ValueError
        shlex.split(run.command)
        if not square or run.matrix.shape != (tasks, tasks):
            raise BadInput(f"{path}: accuracy is not a matrix of {tasks} × {tasks} tasks; delete it and run again")
        seen = run.matrix[np.tril_indices(tasks)]
        if not ((seen >= 0) & (seen <= 1)).all():
            raise BadInput(f"{path}: not a share from 0 to 1 for every task seen; delete it and run again")
        return run
    except BadInput:
        raise
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); a record is a file, made by `alasso run`") from None
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        raise BadInput(f"{path}: not a whole result record; delete it and run again") from None


def records(folder: Path) -> list[Path]:
    """Every record below the folder; not the landscapes, which are named otherwise, nor what is hidden."""
    found = sorted(folder.rglob("*-s*.json"))
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def check_writable(folder: Path) -> None:
    """Create the folder if need be. Raises BadInput if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BadInput(f"{folder}: cannot write results here ({error.strerror}); name another folder") from None


@cache
def provenance() -> dict:
    """Commit, whether the code differs from it, the versions that a number can depend on, and the processor's name."""
    versions = {"alasso": alasso.__version__, "torch": torch.__version__, "python": platform.python_version()}
    versions["numpy"] = np.__version__
    versions["processor"] = torch.cpu.get_capabilities().get("cpu_name", platform.machine())
    commit = changed = None
    if (ROOT / ".git").exists():
        commit = git("rev-parse", "HEAD")
        changed = git("status", "--porcelain", "--", "alasso", "pyproject.toml")
    return {"commit": commit, "dirty": None if changed is None else bool(changed), "versions": versions}


def git(*arguments: str, at: Path | None = None) -> str | None:
    """What git prints in a checkout, by default this one; None if it fails, or there is none."""
    try:
        done = subprocess.run(["git", "-C", at or ROOT, *arguments], capture_output=True, encoding="utf-8", check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


provenance()  # taken now, as `run.CODE` is: the files may change while this process runs
