"""The command that makes figures: what it says, what it stops for, and the pages it makes."""

import errno
import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import psutil
import pytest
from distributed import LocalCluster

from alasso import cli, pages, plots, reproduce, results, workers
from alasso import run as runner
from alasso.errors import BadInput
from alasso.experiments import experiment
from alasso.plan import Estimate, Job
from alasso.presets import SCALES
from alasso.targets import TARGETS, Target

ROOT = Path(__file__).parents[1]
CANNOT = {"learning_rate": "1e30"}


@pytest.fixture
def targets(monkeypatch):
    """A scale of seconds, and a figure one of whose runs fails."""
    monkeypatch.setitem(SCALES, "tiny", dict.fromkeys(("pmnist30", "pmnist100", "pmnist-tiny"), "pmnist-tiny"))
    monkeypatch.setitem(SCALES["paper"], "pmnist-tiny", "pmnist-tiny")
    monkeypatch.setitem(TARGETS, "figure-x", Target("one that fails", "pmnist-tiny", ("none", "si"), (CANNOT, {})))


@pytest.fixture
def drawn(monkeypatch):
    """The pages that are asked for, none of which is made."""
    asked = []
    monkeypatch.setattr(pages, "execute", lambda *arguments: asked.append(arguments) or True)
    return asked


def command(folder, *arguments) -> int:
    return cli.main(["reproduce", *arguments, "--results", str(folder)])


def snapshot(folder) -> dict:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_dry_run_says_what_is_missing_how_long_it_takes_and_does_nothing(targets, tmp_path, capsys):
    runner.run(experiment("pmnist-tiny", "si"), 0, tmp_path, progress=False)
    (tmp_path / "pmnist-tiny" / "notes.txt").write_text("something else")
    before = snapshot(tmp_path)
    assert command(tmp_path, "figure-4", "figure-7", "--scale", "tiny", "--seeds", "2", "--dry-run") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "figure-4, figure-7 at scale tiny, 2 seeds: 6 runs, 1 of them there, 5 to do"
    assert "on one core, about" in out[1]
    assert "from pmnist-tiny/si-" in out[1]
    assert [line.split(": ")[0].strip() for line in out[2:]] == [
        "alasso run pmnist-tiny alasso-published --seed 0",
        "alasso run pmnist-tiny alasso-coupled --seed 0",
        "alasso run pmnist-tiny alasso-published --seed 1",
        "alasso run pmnist-tiny si --seed 1",
        "alasso run pmnist-tiny alasso-coupled --seed 1",
    ]
    assert snapshot(tmp_path) == before


def test_a_failed_run_stops_no_other_and_is_listed_with_its_log(targets, drawn, tmp_path, capsys):
    assert command(tmp_path, "figure-x", "figure-4", "--scale", "tiny", "--workers", "2") == 1
    out, err = capsys.readouterr()
    done = {path.stem.rsplit("-", 2)[0] for path in tmp_path.glob("*/*.json")}
    assert done == {"none", "si", "alasso-published"}
    failed = [line for line in err.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 2
    for line in failed:
        assert "diverged: loss" in line
        log = Path(line.rsplit("its log is ", 1)[1])
        assert "Traceback" in log.read_text()
        assert "alasso run pmnist-tiny" in log.read_text()
    assert sum("[5/5]" in line for line in out.splitlines()) == 1
    assert [page.name for _, page, *_ in drawn] == ["figure-4-tiny.ipynb"], "no page of half the runs"
    assert "figure-x: 2 of its 4 runs failed" in err


def test_failures_are_listed_though_pages_cannot_be_made(targets, tmp_path, capsys, monkeypatch):
    def refuse(*_):
        raise BadInput("no page")

    monkeypatch.setattr(pages, "execute", refuse)
    monkeypatch.setattr(workers, "compute", lambda todo, *_: [(todo[-1], ValueError("odd"))])
    assert command(tmp_path, "figure-4", "figure-x", "--scale", "tiny") == 2
    failed, refused = capsys.readouterr().err.splitlines()
    assert failed.startswith("failed: alasso run pmnist-tiny")
    assert refused == "alasso: no page"


def test_that_pages_cannot_be_made_is_said_before_anything_runs(targets, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(workers, "compute", None)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "papermill", None)
        assert command(tmp_path, "figure-4", "--scale", "tiny") == 2
    assert "pages need papermill and JupyterLab: pip install 'alasso[book]'" in capsys.readouterr().err
    monkeypatch.setattr(reproduce, "NOTEBOOK", "notebooks/nothing.ipynb")
    assert command(tmp_path, "figure-4", "--scale", "tiny") == 2
    assert "nothing.ipynb: not there; pages are made in a checkout" in capsys.readouterr().err
    assert command(tmp_path, "figure-4", "--scale", "tiny", "--dry-run") == 0


def test_data_that_cannot_be_had_is_said_once_and_before_anything_runs(targets, tmp_path, capsys, monkeypatch):
    def nowhere(name):
        raise BadInput(f"{name}: nowhere")

    monkeypatch.setattr(workers.datasets, "load", nowhere)
    assert command(tmp_path / "new", "figure-4", "--scale", "tiny") == 2
    assert capsys.readouterr().err.splitlines()[-1] == "alasso: mnist5k: nowhere"
    assert list((tmp_path / "new").rglob("*.*")) == [], "no run was started, none left a log"


def test_there_are_no_more_processes_than_runs_nor_than_the_system_allows(targets, tmp_path, capsys, monkeypatch):
    made, arguments = [], ["figure-4", "--scale", "tiny", "--workers", "256", "--dry-run"]
    monkeypatch.setattr(workers, "_pool", lambda: made.append(SimpleNamespace(shutdown=lambda **_: None)) or made[-1])
    assert command(tmp_path, *arguments) == 0
    assert len(made) == 2

    def too_many(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(workers, "_pool", too_many)
    assert command(tmp_path, *arguments) == 2
    assert capsys.readouterr().err == "alasso: 2 runs at a time: Too many open files; take fewer --workers\n"
    ended = []
    monkeypatch.setattr(
        workers, "_pool", lambda: SimpleNamespace(submit=too_many, shutdown=lambda **_: ended.append(1))
    )
    with pytest.raises(BadInput, match="1 runs at a time"), workers.Processes(1) as engine:
        engine.submit(print)
    assert ended == [1], "the pool that had no process is closed, too"


def test_an_interruption_keeps_what_is_done_and_says_how_to_go_on(targets, drawn, tmp_path, capsys, monkeypatch):
    def interrupted(todo, *_):
        runner.run(*todo[0], tmp_path, progress=False)
        yield todo[0], None
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "compute", interrupted)
    assert command(tmp_path, "figure-4", "--scale", "tiny") == 130
    assert "stopped: 1 of 2 runs are done; the same command goes on" in capsys.readouterr().err
    assert len(list(tmp_path.glob("*/*.json"))) == 1
    assert drawn == []


def test_a_torn_record_is_named_before_anything_runs(targets, tmp_path, capsys):
    torn = experiment("pmnist-tiny", "si").path(tmp_path, 0)
    torn.parent.mkdir()
    torn.write_text("{")
    assert command(tmp_path, "figure-4", "--scale", "tiny") == 2
    assert f"{torn}: not a whole result record" in capsys.readouterr().err
    assert list(tmp_path.rglob("*.json")) == [torn]


def test_processes_leave_with_their_parent(tmp_path):
    code = "from alasso import cli; import sys; sys.exit(cli.main(sys.argv[1:]))"
    arguments = ["reproduce", "figure-j", "--seeds", "9", "--workers", "2", "--results", str(tmp_path)]
    parent = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.DEVNULL)
    while not (tmp_path / "pmnist-demo").exists():
        assert parent.poll() is None
        time.sleep(0.05)
    family = psutil.Process(parent.pid).children(recursive=True)
    assert len(family) >= 2
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []


def test_a_batch_that_is_terminated_saves_its_runs_and_says_how_to_go_on(tmp_path):
    code = "from alasso import cli; import sys; sys.exit(cli.main(sys.argv[1:]))"
    arguments = ["reproduce", "figure-4", "--workers", "1", "--results", str(tmp_path)]
    parent = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while not list(tmp_path.rglob("*.checkpoint")):
        assert parent.poll() is None
        time.sleep(0.05)
    parent.terminate()
    _, said = parent.communicate(timeout=120)
    assert parent.returncode == 130
    assert "stopped: 0 of 2 runs are done; the same command goes on" in said
    assert "leaked" not in said


def test_a_worker_with_threads_for_several_runs_is_refused(targets, drawn, tmp_path, capsys):
    way = {"processes": True, "host": "127.0.0.1", "dashboard_address": None}
    with LocalCluster(n_workers=1, threads_per_worker=2, **way) as two:
        assert command(tmp_path, "figure-4", "--scale", "tiny", "--dask", two.scheduler_address) == 1
    assert "this worker has several threads, and a run needs a process to itself" in capsys.readouterr().err


def test_a_scheduler_that_does_not_answer_is_named(tmp_path, capsys):
    assert command(tmp_path, "figure-4", "--dask", "tcp://127.0.0.1:1") == 2
    assert "--dask tcp://127.0.0.1:1: no scheduler answers there" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_figure_gets_its_page_and_a_second_call_does_nothing(tmp_path, capsys, monkeypatch):
    for method in TARGETS["figure-4"].methods:
        name = experiment("pmnist-demo", method).path("", 0)
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / "results" / name).read_bytes())
    assert command(tmp_path, "figure-4") == 0
    page = tmp_path / "executed" / "figure-4-demo.ipynb"
    assert f"figure-4: {page}" in capsys.readouterr().out
    cells = json.loads(page.read_text())["cells"]
    assert "".join(cells[0]["source"]).startswith("# Figure 4, demo\n")
    assert any("image/svg+xml" in output.get("data", {}) for cell in cells for output in cell.get("outputs", []))
    assert [path.name for path in page.parent.iterdir()] == [page.name]

    before = snapshot(tmp_path)
    monkeypatch.setattr("papermill.execute_notebook", None)
    monkeypatch.setattr(workers, "compute", None)
    assert command(tmp_path, "figure-4") == 0
    assert capsys.readouterr().out.splitlines() == [
        "figure-4 at scale demo, 1 seed: 2 runs, 2 of them there, 0 to do",
    ]
    assert snapshot(tmp_path) == before


def test_a_page_is_titled_and_reads_its_own_folder(drawn, tmp_path):
    assert reproduce._page("table-1-left", "demo", 2, tmp_path, {})
    assert reproduce._page("figure-j", "demo", 1, results.folder(), {})
    (_, _, elsewhere, data, one), (_, _, usual, _, two) = drawn
    assert (elsewhere["results"], usual["results"], len(data)) == (str(tmp_path.resolve()), "results", 12)
    assert (one, two) == ("Table 1 left, demo", "Figure J, demo")


def test_a_search_has_no_page(drawn, tmp_path, monkeypatch):
    monkeypatch.setitem(TARGETS, "search-x", Target("a search", "pmnist-tiny", ("si",), search=True))
    monkeypatch.setitem(SCALES["paper"], "pmnist-tiny", "pmnist-tiny")
    monkeypatch.setattr(workers, "compute", lambda *_: [])
    assert command(tmp_path, "search-x", "--scale", "paper") == 0
    assert drawn == []


@pytest.mark.parametrize(
    ("target", "scale", "axis"),
    [
        ("figure-5-left", "demo", "tasks trained"),
        ("figure-6-left", "demo", "tasks trained"),
        ("table-1-left", "demo", "average test accuracy at the end"),
        ("figure-8", "paper", "task"),
    ],
)
def test_the_page_of_every_kind_of_target_is_drawn(target, scale, axis, monkeypatch):
    """From the committed records; test_book.py builds that of figure-4."""
    monkeypatch.setattr(workers, "compute", None)  # nothing trains
    cells = json.loads((ROOT / "notebooks" / "target.ipynb").read_text(encoding="utf-8"))["cells"]
    parameters, *rest = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    names = {}
    exec(parameters, names)
    names |= {"target": target, "scale": scale}
    for code in rest:
        exec(code, names)
    assert plt.gcf().axes[0].get_xlabel() == axis
    plt.close("all")


def test_every_target_is_drawn_by_a_function_that_exists():
    assert all(callable(getattr(plots, target.plot)) for target in TARGETS.values())


def test_a_forecast_adds_up_and_says_what_it_does_not_know():
    one, two, three = (Job(experiment("pmnist-tiny", "si"), seed) for seed in range(3))
    hour = Estimate(3600.0, "pmnist30/si-x-s0.json: 3 core-seconds an epoch")
    assert reproduce._forecast({one: hour, two: hour, three: None}, 2) == (
        "2.0 h on one core, about 60 min on 2, and 1 more, like which none has been measured; "
        "from pmnist30/si-x-s0.json"
    )
    assert reproduce._forecast({one: None}, 2).startswith("how long they take is not known")
    assert reproduce._forecast({one: hour}, 0) == "60 min on one core; from pmnist30/si-x-s0.json"
