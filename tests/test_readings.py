"""What the paper reads off its figures, by hand from records made up for the purpose."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from records import made_up, stretched

from alasso import results
from alasso.claims import EVERY_OTHER
from alasso.readings import table
from alasso.search import tuned


def write(folder: Path, preset: str, method: str, ends: tuple[float, float], *, best=0.9, loss=0.1, **settings) -> None:
    """A record of seed 0: half of the tasks falls from `best` to the first of `ends`, the other half has the second."""
    made = tuned(preset, method, settings)
    accuracy = stretched([[best, None], [ends[0], ends[1]]], made.protocol.tasks)
    run = replace(made_up(made, 0, accuracy), loss=[loss] * made.protocol.tasks)
    results.save(run, made.path(folder, 0))


def row(folder: Path, start: str) -> str:
    (found,) = (line for line in table(folder).splitlines() if line.startswith(f"| {start}"))
    return found


def test_the_setting_with_least_is_held_against(tmp_path):
    write(tmp_path, "pmnist30", "alasso-published", (0.8, 0.9))
    write(tmp_path, "pmnist30", "si", (0.5, 0.9))
    assert "**seen**" in row(tmp_path, "SI forgets")
    write(tmp_path, "pmnist30", "si", (0.85, 0.9), c="1")
    found = row(tmp_path, "SI forgets")
    # Of 29 tasks that can forget, 15 fell: by .1 and by .05.
    assert f"**not seen**, {15 * 10 / 29:.1f} against {15 * 5 / 29:.1f} of SI with c = 1 (20 epochs)" in found


@pytest.mark.parametrize(
    ("other", "verdict"), [(0.12, "seen"), (0.1011, "seen"), (0.1009, "not seen"), (0.08, "not seen")]
)
def test_less_is_less_by_a_hundredth(tmp_path, other, verdict):
    write(tmp_path, "pmnist30", "alasso-published", (0.8, 0.9), loss=0.1)
    write(tmp_path, "pmnist30", "alasso-coupled", (0.8, 0.9), loss=other)
    found = row(tmp_path, "Decoupling")
    assert f"**{verdict}**, 0.1000 against {other:.4f} of ALASSO without decoupling (20 epochs)" in found


def test_seen_only_with_every_method_there(tmp_path):
    write(tmp_path, "pmnist30", "alasso-published", (0.88, 0.9))
    *others, last = EVERY_OTHER
    for method in others:
        write(tmp_path, "pmnist30", method, (0.5, 0.9))
    assert "**open**, 1.0 against 20.0" in row(tmp_path, "Tasks vary")  # the deviation of two values, half apart
    write(tmp_path, "pmnist30", last, (0.5, 0.9))
    assert "**seen**, 1.0 against 20.0" in row(tmp_path, "Tasks vary")
    write(tmp_path, "pmnist30", last, (0.9, 0.9))
    assert "**not seen**, 1.0 against 0.0" in row(tmp_path, "Tasks vary")


def test_shares_of_what_si_loses(tmp_path):
    write(tmp_path, "split-cifar", "single", (0.8, 0.9))
    write(tmp_path, "split-cifar", "si", (0.6, 0.7))
    write(tmp_path, "split-cifar", "alasso-published", (0.6, 0.8))  # half of the tasks get back half of the .2
    assert "**seen**, 25 % (60 epochs)" in row(tmp_path, "ALASSO recovers")
    assert "**not seen**, 0 of 30 (60 epochs)" in row(tmp_path, "In some tasks")
    write(tmp_path, "split-cifar", "alasso-published", (0.3, 0.895))
    assert "**not seen**, -26 % (60 epochs)" in row(tmp_path, "ALASSO recovers")  # (.5975 − .65)/.2
    assert "**seen**, 15 of 30 (60 epochs)" in row(tmp_path, "In some tasks")


def test_the_share_is_over_the_seeds_that_all_have(tmp_path):
    for method, ends in {"single": (0.9, 0.9), "si": (0.7, 0.7), "alasso-published": (0.8, 0.8)}.items():
        write(tmp_path, "split-cifar", method, ends)
    for method, share in {"single": 0.9, "si": 0.5}.items():  # ALASSO has no seed 1
        made = tuned("split-cifar", method)
        results.save(made_up(made, 1, stretched([[share, None], [share] * 2], 30)), made.path(tmp_path, 1))
    assert "**seen**, 50 %" in row(tmp_path, "ALASSO recovers")


def test_nothing_is_recovered_of_what_si_does_not_lose(tmp_path):
    for method, ends in {"single": (0.5, 0.6), "si": (0.6, 0.6), "alasso-published": (0.5, 0.5)}.items():
        write(tmp_path, "split-cifar", method, ends)
    assert "**not seen**, SI loses nothing (60 epochs)" in row(tmp_path, "ALASSO recovers")


def test_a_folder_without_runs_says_so(tmp_path):
    said = [line.split(" | ")[2] for line in table(tmp_path).splitlines()[2:] if line.startswith("|")]
    assert said == ["not run"] * 5


def test_level_is_over_the_seeds_that_both_have_task_by_task(tmp_path):
    """Another seed has other tasks: 30 of seed 0, all below, and 30 of seed 1, all above, are not 30 in between."""
    runs = [("single", 0, 0.8), ("alasso-published", 0, 0.6), ("alasso-published", 1, 1.0)]
    for method, seed, end in runs:
        made = tuned("split-cifar", method)
        results.save(made_up(made, seed, stretched([[0.99, None], [end] * 2], 30)), made.path(tmp_path, seed))
    assert "**not seen**, 0 of 30" in row(tmp_path, "In some tasks")
    made = tuned("split-cifar", "single")
    results.save(made_up(made, 1, stretched([[0.99, None], [0.9] * 2], 30)), made.path(tmp_path, 1))
    assert "**seen**, 30 of 60" in row(tmp_path, "In some tasks")


def test_every_cell_has_its_commands(tmp_path):
    for epochs in ("60", "240"):
        for method in ("single", "alasso-published"):
            made = tuned("split-cifar", method, {"epochs": epochs})
            results.save(made_up(made, 0, stretched([[0.9, None], [0.8] * 2], 30)), made.path(tmp_path, 0))
    said = table(tmp_path)
    assert "30 of 30 (60 epochs)" in said
    assert "30 of 30 (240 epochs)" in said
    commands = re.findall(r"split-cifar`, (\d+) epochs: `alasso run split-cifar (\S+)", said)
    assert sorted(commands) == [(e, m) for e in ("240", "60") for m in ("alasso-published", "single")]
