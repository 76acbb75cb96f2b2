"""What is still to be run, in which order, and how long it takes."""

from dataclasses import replace

import pytest
from records import made_up

from alasso import plan, results
from alasso.errors import BadInput
from alasso.experiments import experiment
from alasso.plan import MEAN_FIELD_TEST, TEST, Costs
from alasso.presets import PRESETS, SCALES
from alasso.targets import TARGETS


@pytest.fixture
def record():
    """A whole record, to be changed."""
    return made_up(experiment("pmnist-tiny", "si"), 0, [[0.5, None], [0.5, 0.5]])


def keep(record, folder, preset, method, seconds, **changes):
    """Put a record of this experiment into the folder, as if it had taken so long."""
    chosen = experiment(preset, method, changes.pop("settings", {}))
    protocol = {name: list(v) if isinstance(v, tuple) else v for name, v in vars(chosen.protocol).items()}
    tasks = protocol["tasks"]
    changes = {"loop": "reference", "accuracy": [[0.5] * tasks] * tasks, "loss": [0.5] * tasks} | changes
    made = replace(record, preset=preset, method=method, protocol=protocol, seconds=seconds, **changes)
    results.save(made, chosen.path(folder, 0))


def cost(folder, preset, method, **settings):
    return Costs(folder).of(experiment(preset, method, settings))


def test_all_is_every_target_and_every_run_once():
    wanted = plan.jobs(plan.chosen(["all"], "paper"), "paper", range(2))
    needed = {
        (e.preset, e.digest, seed)
        for t in TARGETS.values()
        if not t.search
        for e in t.experiments()
        for seed in range(2)
    }
    assert {(job.experiment.preset, job.experiment.digest, job.seed) for job in wanted} == needed
    assert len(wanted) == len(needed)


def test_what_is_named_beside_all_comes_too():
    search = "search-pmnist30-si"
    assert plan.chosen([search, "all", "figure-4", "all"], "short") == [*plan.chosen(["all"], "short"), search]


def test_the_most_useful_runs_come_first():
    wanted = plan.jobs(["figure-5-left", "table-1-left"], "paper", range(2))
    assert [job.seed for job in wanted] == [0] * (len(wanted) // 2) + [1] * (len(wanted) // 2)
    first = [(job.experiment.method, job.experiment.changes) for job in wanted[: len(wanted) // 2]]
    assert [method for method, _ in first[:4]] == ["alasso-published", "si", "single", "multi"]
    assert [changes for _, changes in first[-6:]] == [[f"a={float(a)}"] for a in ("0.8", "1", "2", "3", "4", "5")]


def test_only_what_has_no_record_is_missing(tmp_path):
    wanted = plan.jobs(["figure-4"], "short", range(2))
    there = wanted[2].path(tmp_path)
    there.parent.mkdir(parents=True)
    there.touch()
    assert plan.missing(wanted, tmp_path) == [*wanted[:2], wanted[3]]


def test_a_scale_changes_the_preset_and_nothing_else():
    for name, target in TARGETS.items():
        full = target.experiments()
        for scale in SCALES:
            if target.search and scale != "paper":
                with pytest.raises(BadInput, match="it has one, take --scale paper"):
                    target.experiments(scale)
                continue
            if scale == "demo" and target.preset.startswith("split"):
                with pytest.raises(BadInput, match="no scale 'demo'"):
                    target.experiments(scale)
                assert name not in plan.chosen(["all"], scale)
                continue
            made = target.experiments(scale)
            assert [(e.method, e.surrogate) for e in made] == [(e.method, e.surrogate) for e in full]
            if scale == "short":
                assert all(e.protocol.epochs == f.protocol.epochs // 4 for e, f in zip(made, full, strict=True))
                assert [replace(e.protocol, epochs=f.protocol.epochs) for e, f in zip(made, full, strict=True)] == [
                    f.protocol for f in full
                ]
                assert all(PRESETS[e.preset].about.startswith("Short, ") for e in made)


def test_unknown_targets_and_scales_are_named():
    with pytest.raises(BadInput, match="target 'figure-10': unknown; did you mean figure-"):
        plan.chosen(["figure-10"], "demo")
    with pytest.raises(BadInput, match="scale 'papers': unknown; did you mean paper"):
        plan.jobs(["figure-4"], "papers", [0])
    with pytest.raises(BadInput, match="scale 'papers': unknown; did you mean paper"):
        plan.chosen(["all"], "papers")


def test_a_cost_is_that_of_an_epoch_times_epochs_and_of_all_tests(record, tmp_path):
    keep(record, tmp_path, "pmnist10", "si", [10.0, 14.0], threads=2, settings={"tasks": "2", "epochs": "1"})
    an_epoch = 24 * 2 / (2 + 3 * TEST)  # two epochs of training, and three tests: of one task, then of both
    assert cost(tmp_path, "pmnist30", "si").core_seconds == pytest.approx(an_epoch * (600 + 465 * TEST))
    assert cost(tmp_path, "pmnist30-short", "si").core_seconds == pytest.approx(an_epoch * (150 + 465 * TEST))
    assert cost(tmp_path, "pmnist30", "single").core_seconds == pytest.approx(an_epoch * (600 + 30 * TEST))
    assert "pmnist10/si" in cost(tmp_path, "pmnist30", "si").basis
    assert "from a run of SI" in cost(tmp_path, "pmnist30", "ewc").basis
    assert cost(tmp_path, "split-cifar", "si") is None


def test_the_nearest_record_counts(record, tmp_path):
    epochs = (600 + 465 * TEST) / (1 + TEST)  # of a run, in those of a record with one task and one epoch
    keep(record, tmp_path, "pmnist-demo", "si", [1.0], settings={"tasks": "1", "epochs": "1"})
    keep(record, tmp_path, "pmnist10", "none", [10.0], threads=1, settings={"tasks": "1", "epochs": "1"})
    assert cost(tmp_path, "pmnist30", "si").core_seconds == pytest.approx(10 * epochs), (
        "same network before same method"
    )
    keep(record, tmp_path, "pmnist10", "si", [20.0], threads=1, settings={"tasks": "1", "epochs": "1"})
    assert cost(tmp_path, "pmnist30", "si").core_seconds == pytest.approx(10 * epochs), "the quickest"
    drawn = 600 + 465 * 0.05 * 10 / 2
    assert cost(tmp_path, "pmnist30", "vcl").core_seconds == pytest.approx(2 * 10 * drawn / (1 + TEST)), (
        "two numbers for each weight, and ten draws at a test"
    )
    keep(record, tmp_path, "pmnist10", "vcl", [80.0], threads=1, settings={"tasks": "1", "epochs": "1"})
    assert cost(tmp_path, "pmnist30", "vcl").core_seconds == pytest.approx(80 * drawn / (1 + MEAN_FIELD_TEST)), (
        "the only one of its kind"
    )
    assert cost(tmp_path, "pmnist30", "si").core_seconds == pytest.approx(10 * epochs), "the others are no less so"
    fast = {"loop": "fast", "settings": {"tasks": "1", "epochs": "1"}}
    keep(record, tmp_path, "pmnist10", "none", [12.0], threads=1, **fast)
    assert cost(tmp_path, "pmnist30", "si").core_seconds == pytest.approx(12 * epochs), "a batch runs by the fast loop"
    keep(record, tmp_path, "pmnist100", "si", [1.0], threads=1, device="cuda", loop="fast", settings={"tasks": "1"})
    assert cost(tmp_path, "pmnist30", "si").core_seconds == pytest.approx(12 * epochs), "a GPU says nothing of a core"


def test_work_is_scaled_to_larger_images_and_more_of_them(record, tmp_path):
    keep(record, tmp_path, "split-tiny-64", "si", [7.0], threads=1, settings={"tasks": "1", "epochs": "1"})
    assert cost(tmp_path, "split-tiny", "si").core_seconds == pytest.approx(
        7 * (30 * 60 + 465 * TEST) / (1 + TEST) * (224 / 64) ** 2
    )
    keep(record, tmp_path, "pmnist-demo", "si", [1.0], threads=1, settings={"tasks": "1", "epochs": "1"})
    weights = 784 * 200 + 200 * 200 + 200 * 10
    more = (784 * 400 + 400 * 10) / weights * 60_000 / 4_000
    assert cost(tmp_path, "pmnist10", "si", hidden="400").core_seconds == pytest.approx(
        (200 + 55 * TEST) / (1 + TEST) * more
    )


def test_a_dense_network_sees_every_class_of_colour_images_too(record, tmp_path):
    keep(record, tmp_path, "pmnist10", "si", [100.0], settings={"tasks": "1", "epochs": "1", "dataset": "cifar10"})
    inner = 2000 * 2000 + 2000 * 10
    ratio = 60_000 * (784 * 2000 + inner) / (50_000 * (3072 * 2000 + inner))
    assert cost(tmp_path, "pmnist10", "si", tasks="1", epochs="1").core_seconds == pytest.approx(100 * ratio)


def test_a_trial_trains_on_nine_tenths_of_the_images(record, tmp_path):
    keep(
        record,
        tmp_path,
        "pmnist10",
        "si",
        [9.0],
        threads=1,
        settings={"tasks": "1", "epochs": "1", "validation": "true"},
    )
    assert cost(tmp_path, "pmnist10", "si", tasks="1", epochs="1").core_seconds == pytest.approx(10)


def test_a_torn_record_costs_nothing(tmp_path):
    path = tmp_path / "pmnist10" / "si-00000000-s0.json"
    path.parent.mkdir()
    path.write_text("{")
    assert Costs(tmp_path).records == []


def test_cores_share_the_runs():
    assert plan.wall_seconds([3, 1, 2], 1) == 6
    assert plan.wall_seconds([3, 1, 2], 3) == plan.wall_seconds([3, 1, 2], 64) == 3
    assert plan.wall_seconds([3, 1, 2, 2], 2) == 5  # 3 then 2; 1 then 2
    assert plan.wall_seconds([1] * 7, 3) == 3


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (89, "89 s"), (150, "2.5 min"), (5400, "1.5 h"), (90_000, "25 h"), (1e6, "12 days")],
)
def test_a_time_as_a_person_says_it(seconds, said):
    assert plan.duration(seconds) == said


def test_a_search_has_seeds_of_its_own():
    searches = [name for name, target in TARGETS.items() if target.search]
    for name in searches:
        first = TARGETS[name].first_seed
        assert first > 0
        assert {job.seed for job in plan.jobs([name], "paper", range(2))} == {first, first + 1}
