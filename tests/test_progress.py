"""What a batch says while it runs."""

import os
from dataclasses import replace

from records import made_up
from rich.console import Console

from alasso import reproduce, results
from alasso.experiments import experiment
from alasso.plan import Estimate, Job


def test_the_table_counts_what_is_done_running_failed_and_waiting(tmp_path):
    todo = [Job(experiment("pmnist-tiny", m), 0) for m in ("none", "si", "ewc", "mas", "vcl")]
    progress = reproduce.Progress(dict.fromkeys(todo), lambda: 2)
    progress.live = True  # as on a terminal
    progress.end(todo[1], None, tmp_path)
    progress.end(todo[0], ValueError("no"), tmp_path)
    console = Console(width=80, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(progress.table())
    assert console.export_text().split("\n")[3].replace("│", " ").split() == ["pmnist-tiny", "1", "2", "1", "1"]
    assert "time left unknown" in progress.left()


def test_the_time_left_follows_how_long_the_runs_took_that_have_ended(tmp_path, monkeypatch):
    todo = [Job(experiment("pmnist-tiny", "none"), seed) for seed in range(4)]
    monkeypatch.setattr(reproduce.time, "monotonic", lambda: 100.0)
    progress = reproduce.Progress(dict.fromkeys(todo, Estimate(600.0, "a record")), lambda: 2)
    assert progress.left() == "about 20 min left"
    for job in todo[:2]:  # each took 15 minutes instead of ten, and they went side by side
        took = replace(made_up(job.experiment, job.seed, [[0.9, None], [0.5, 0.9]]), seconds=[800.0, 100.0])
        results.save(took, job.path(tmp_path))
        progress.end(job, None, tmp_path)
    monkeypatch.setattr(reproduce.time, "monotonic", lambda: 100.0 + 900)
    assert progress.left() == "about 15 min left"
    for job in todo[2:]:
        progress.end(job, ValueError("no"), tmp_path)
    assert progress.left() == "all ended"
