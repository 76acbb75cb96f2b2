"""What lets a run survive: checkpoints that are whole or refused, and one process at a time on a run.

They lie in `.unfinished/` beside the results, and are gone, but for an empty lock, when the record is there.
"""

import glob
import hashlib
import io
import os
import pickle
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import torch
from filelock import FileLock, Timeout

from alasso import results
from alasso.errors import BadInput, Notice
from alasso.train import Place

DIGEST = 64  # hex digits of a sha256, which open the file
ASKED = {"loop", "precision", "device"}  # of a run's identity, what a command line can say


def beside(record: Path, suffix: str) -> Path:
    """Where the unfinished run of this record keeps a file."""
    return record.parent / ".unfinished" / f"{record.stem}.{suffix}"


def save(record: Path, identity: dict, place: Place, tensors: dict) -> None:
    """Write a checkpoint; the one before it is kept until the next. Raises BadInput if it cannot be written."""
    path, before = beside(record, "checkpoint"), beside(record, "checkpoint.before")
    with results.whole(path) as file:
        if path.exists():
            os.replace(path, before)
        file.write(b"-" * DIGEST)
        digest = _Digest(file)
        content = {"identity": identity, "place": asdict(place), "tensors": tensors}
        try:
            torch.save(content, digest)
        except RuntimeError:
            if digest.error:  # PyTorch makes another of it, which no longer says that the disk is full
                raise digest.error from None
            raise
        file.seek(0)
        file.write(digest.sha256.hexdigest().encode())


def load(record: Path, identity: dict) -> tuple[Place, dict] | None:
    """The newest checkpoint that is whole and of this very run; warns, by name, of each that is not.

    Raises BadInput if it only has another loop, precision or device: going on would overwrite it.
    """
    newest, before = beside(record, "checkpoint"), beside(record, "checkpoint.before")
    for path in (newest, before):
        if path.exists():
            try:
                found = _verified(path, identity)
            except BadInput:
                raise
            except ValueError as error:
                warnings.warn(f"{path} is not used: {error}", Notice, stacklevel=2)
            else:
                if path == before:  # in the place of what is no use, or the next save would put that in its own
                    os.replace(before, newest)
                return found
    return None


def _verified(path: Path, identity: dict) -> tuple[Place, dict]:
    content = path.read_bytes()
    digest, payload = content[:DIGEST], memoryview(content)[DIGEST:]
    if hashlib.sha256(payload).hexdigest().encode() != digest:
        raise ValueError("it is torn (its checksum does not match)")
    try:
        # To the processor's memory, wherever they were: also without a GPU it can be said whose checkpoint this is.
        loaded = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        found, place, tensors = dict(loaded["identity"]), Place(**loaded["place"]), loaded["tensors"]
    except pickle.UnpicklingError:
        raise ValueError("it holds more than tensors and numbers") from None
    except (RuntimeError, TypeError, KeyError, EOFError):
        raise ValueError("it cannot be read; another version of alasso or PyTorch wrote it") from None
    if found != identity:
        names = [name for name in {**identity, **found} if found.get(name) != identity.get(name)]
        what = ", ".join(f"{name} {found.get(name)}, not {identity.get(name)}" for name in names)
        # Whether the fast loop is compiled depends on the machine, and nobody can ask for it.
        compiler_only = names == ["loop"] and "reference" not in (found["loop"], identity["loop"])
        if ASKED.issuperset(names) and not compiler_only:
            raise BadInput(f"{path}: this run was begun with {what}; go on so, name another folder, or delete it")
        raise ValueError(f"it is of another run or other code: {what}")
    return place, tensors


def remove(record: Path) -> None:
    """Forget what an unfinished run keeps, and what it was writing when it was killed. For who holds the run."""
    for path in _left(record):
        path.unlink(missing_ok=True)


def tidy(record: Path) -> None:
    """Remove what a run that was killed after its record was there has left, unless a process holds the run."""
    if _left(record):
        with suppress(OSError), FileLock(beside(record, "lock"), timeout=0):
            remove(record)


def _left(record: Path) -> list[Path]:
    kept = [beside(record, suffix) for suffix in ("checkpoint", "checkpoint.before", "owner")]
    torn = f"{glob.escape(record.stem)}.*.partial"  # with its dot, s1 is not s10
    return [p for p in kept if p.exists()] + [p for at in {record.parent, kept[0].parent} for p in at.glob(torn)]


@contextmanager
def alone(record: Path) -> Iterator[None]:
    """Hold the run of this record; waits, and says for whom, while another process holds it.

    Raises BadInput where nothing can be written.
    """
    lock = FileLock(beside(record, "lock"))
    try:
        _take(lock, record)
        yield
    finally:
        lock.release()


def _take(lock: FileLock, record: Path) -> None:
    owner = beside(record, "owner")
    try:
        owner.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            holder = "another process"
            with suppress(OSError):  # it may be gone by now
                holder = owner.read_text().strip()
            warnings.warn(f"{record.name} is being run by {holder}; waiting for it", Notice, stacklevel=4)
            lock.acquire()
        owner.write_text(f"process {os.getpid()} on {platform.node()}\n")
    except OSError as error:
        raise BadInput(f"{record.parent}: cannot write results here ({error.strerror}); name another folder") from None


class _Digest:
    """A file that keeps the sha256 of what is written to it."""

    def __init__(self, file: BinaryIO):
        self.file, self.sha256 = file, hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data) -> int:
        self.sha256.update(data)
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()
