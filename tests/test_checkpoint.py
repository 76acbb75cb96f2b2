"""Checkpoints from elsewhere, what is left of a killed run, and the lock of a run."""

import os
import signal
from dataclasses import asdict

import pytest
import torch
from archives import cut
from small_runs import forked

from alasso import checkpoint, results
from alasso.errors import Notice
from alasso.train import Place

IDENTITY = {"run": "this", "code": "now"}


@pytest.fixture
def record(tmp_path):
    return tmp_path / "si-0-s1.json"


def save(record, **changes):
    checkpoint.save(record, IDENTITY | changes, Place(task=1), {"theta": torch.arange(3.0)})


def load(record):
    found = checkpoint.load(record, IDENTITY)
    return found and (found[0].task, found[1]["theta"].tolist())


def test_a_checkpoint_of_a_gpu_is_read_without_one(record, monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        save(record)
    assert load(record) == (1, [0.0, 1.0, 2.0])
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        save(record, code="1")
    with pytest.warns(Notice, match="it is of another run or other code: code 1, not now"):
        assert load(record) == (1, [0.0, 1.0, 2.0]), "the one before"


def unknown_field(content):
    content["place"]["batch"] = 3


def missing_part(content):
    del content["tensors"]


def not_text(content):
    content["identity"] = None


@pytest.mark.parametrize("change", [unknown_field, missing_part, not_text])
def test_a_checkpoint_of_another_layout_is_not_used(record, monkeypatch, change):
    write = torch.save

    def otherwise(content, file):
        change(content)
        write(content, file)

    monkeypatch.setattr(torch, "save", otherwise)
    save(record)
    with pytest.warns(UserWarning, match="is not used: it cannot be read; another version of alasso or PyTorch"):
        assert load(record) is None


def test_a_checkpoint_that_pytorch_cannot_read_is_not_used(record, monkeypatch):
    def unreadable(*_, **__):
        raise RuntimeError("PytorchStreamReader failed")

    save(record)
    monkeypatch.setattr(torch, "load", unreadable)
    with pytest.warns(UserWarning, match="is not used: it cannot be read"):
        assert load(record) is None


def names(record):
    return {path.name for path in record.parent.rglob("*") if path.is_file()}


@pytest.fixture
def torn(record):
    """Half a checkpoint, half a record, and the same of seed 10."""
    for path in (record, record.with_name("si-0-s10.json")):
        for target in (checkpoint.beside(path, "checkpoint"), path):

            def killed(target=target):
                with results.whole(target):
                    os.kill(os.getpid(), signal.SIGKILL)

            assert forked(killed) == -signal.SIGKILL
        save(path)
    assert len(names(record)) == 6
    return record


def test_what_was_being_written_is_removed_with_the_rest_and_nothing_of_another_run(torn):
    others = {name for name in names(torn) if name.startswith("si-0-s10.")}
    assert len(others) == 3
    checkpoint.remove(torn)
    assert names(torn) == others


def test_nothing_is_tidied_while_a_process_holds_the_run(torn):
    before = names(torn)
    with checkpoint.alone(torn):
        assert forked(lambda: checkpoint.tidy(torn)) == 0
        assert names(torn) >= before
    checkpoint.tidy(torn)
    assert {name for name in names(torn) if not name.startswith("si-0-s10.")} == {"si-0-s1.lock"}


def test_where_nothing_is_left_no_lock_is_made(record):
    checkpoint.tidy(record)
    assert names(record) == set()


@pytest.mark.parametrize("error", [None, ValueError])
def test_the_lock_is_free_as_soon_as_the_run_has_ended(record, monkeypatch, error):
    locks, make = [], checkpoint.FileLock
    monkeypatch.setattr(checkpoint, "FileLock", lambda *given: locks.append(make(*given)) or locks[-1])
    try:
        with checkpoint.alone(record):
            assert locks[0].is_locked
            if error:
                raise error
    except ValueError:
        pass
    assert not locks[0].is_locked


def test_place_is_kept_in_whole(record):
    place = Place(1, 2, 3, 4.0, 5.0, 6.0, torch.zeros(2), [([0.5], 0.1, 1.0)])
    checkpoint.save(record, IDENTITY, place, {})
    found, _ = checkpoint.load(record, IDENTITY)
    assert {**asdict(found), "noise": None} == {**asdict(place), "noise": None}
    assert torch.equal(found.noise, place.noise)


def test_a_torn_checkpoint_never_takes_the_place_of_the_good_one_before(record):
    save(record)
    save(record)
    cut(checkpoint.beside(record, "checkpoint"))
    with pytest.warns(Notice, match="torn"):
        assert load(record) is not None

    def killed():
        torch.save = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        save(record)

    assert forked(killed) == -signal.SIGKILL
    assert load(record) is not None
