"""Disks that are full and folders that cannot be written: a clear error, and nothing lost."""

import errno
import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from small_runs import forked, start

from alasso import checkpoint, fast, results
from alasso import run as runner
from alasso.errors import BadInput
from alasso.train import Place

pytestmark = pytest.mark.usefixtures("small_runs")


@pytest.fixture
def small_disk(tmp_path):
    """A function that makes writes fail for want of room: a tmpfs where root may mount one, else a limit on files."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = (
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True).returncode == 0
    )

    def fill():
        if mounted:
            (disk / "ballast").write_bytes(b"0" * 4096 * (shutil.disk_usage(disk).free // 4096))
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))

    yield disk, fill
    if mounted:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_is_a_clear_error_and_earlier_results_stay(small_disk):
    disk, fill = small_disk
    earlier = disk / "pmnist-tiny" / "earlier.json"
    earlier.parent.mkdir()
    earlier.write_text("{}")

    def on_a_full_disk():
        step, calls = fast.FastLearner.step, []

        def filling(*arguments):
            calls.append(None)
            if len(calls) == 1:  # before there is a checkpoint whose room the next could take
                fill()
            return step(*arguments)

        fast.FastLearner.step = filling
        with pytest.raises(BadInput, match=r"cannot be written \((No space left on device|File too large)\)"):
            start(disk)

    assert forked(on_a_full_disk) == 0
    assert earlier.read_text() == "{}"
    assert not list(disk.rglob("*.partial"))
    (disk / "ballast").unlink(missing_ok=True)
    assert len(start(disk).accuracy) == 3  # and goes on when there is room again


def test_a_checkpoint_that_finds_no_room_is_a_clear_error_and_the_one_before_it_stays(tmp_path):
    record, large = tmp_path / "si-0-s0.json", {"theta": torch.zeros(1_000_000)}

    def with_a_limit():
        checkpoint.save(record, {"run": "one"}, Place(), {"theta": torch.ones(10)})
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, resource.RLIM_INFINITY))  # larger than a buffer of writes
        with pytest.raises(BadInput, match=r"checkpoint: cannot be written \(File too large\)"):
            checkpoint.save(record, {"run": "one"}, Place(), large)

    assert forked(with_a_limit) == 0
    _, kept = checkpoint.load(record, {"run": "one"})
    assert torch.equal(kept["theta"], torch.ones(10))


def test_a_folder_that_turns_into_something_else_is_a_clear_error(tmp_path, monkeypatch):
    folder, step = tmp_path / "results", fast.FastLearner.step

    def replacing(*arguments):
        if folder.is_dir():
            folder.rename(tmp_path / "moved")
            folder.write_text("a file")
        return step(*arguments)

    monkeypatch.setattr(fast.FastLearner, "step", replacing)
    with pytest.raises(BadInput, match="cannot be written"):
        start(folder)
    assert folder.read_text() == "a file"


@pytest.mark.parametrize("refused", ["replace", "fsync"])
def test_what_cannot_be_put_in_its_place_leaves_what_was_there(refused, tmp_path, monkeypatch):
    """A disk that turns read-only, or fails, when all is written but nothing has its name yet."""
    path = tmp_path / "record.json"
    path.write_bytes(b"before")

    def refuse(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, refused, refuse)
    refusal = pytest.raises(BadInput, match=r"record\.json: cannot be written \(Read-only file system\)")
    with refusal, results.whole(path) as file:
        file.write(b"after")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("record.json", b"before")]


def test_a_place_that_cannot_be_written_is_refused_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "train_stream", None)
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot write results here"):
        start(tmp_path / "file")
    with pytest.raises(BadInput, match="cannot write results here"):
        start(Path("/proc/results"))
