"""Which runs there are, and what they keep, against files and numbers made for the purpose."""

from records import made_up

from alasso import evidence, results
from alasso.experiments import experiment


def test_the_group_that_keeps_most_does_so_on_average():
    made = experiment("pmnist-tiny", "si")
    steady, lucky = (
        [made_up(made, seed, [[0.99, None], [share, share]]) for seed, share in enumerate(ends)]
        for ends in ((0.7, 0.7), (0.95, 0.3))
    )
    assert evidence.most_kept([lucky, [], steady]) is steady
    assert evidence.most_kept([]) == evidence.most_kept([[], []]) == []


def test_only_files_named_as_records_are_read(tmp_path):
    chosen = experiment("pmnist-tiny", "none")
    results.save(made_up(chosen, 0, [[0.9, None], [0.5, 0.9]]), chosen.path(tmp_path, 0))
    copy = chosen.path(tmp_path, 0)
    copy.with_stem(f"{copy.stem} (copy)").write_text("{")
    assert [found.seed for found in evidence.recorded(chosen, tmp_path)] == [0]


def test_runs_of_a_preset_are_those_of_the_folder(tmp_path):
    made = experiment("pmnist-tiny", "si")
    results.save(made_up(made, 17, [[0.9, None], [0.9, 0.9]]), made.path(tmp_path, 17))
    assert {name: [run.seed for run in mine] for name, mine in evidence.of_preset("pmnist-tiny", tmp_path).items()} == {
        "si": [17]
    }


def test_seeds_are_in_order_of_their_numbers(tmp_path):
    chosen = experiment("pmnist-tiny", "si")
    for seed in (10, 2):
        results.save(made_up(chosen, seed, [[0.5, None], [0.5, 0.5]]), chosen.path(tmp_path, seed))
    assert [run.seed for run in evidence.recorded(chosen, tmp_path)] == [2, 10]
