"""What searches found, against records whose best is known."""

from records import made_up, stretched

from alasso import metrics, results, trials
from alasso.evidence import recorded
from alasso.experiments import experiment
from alasso.search import FINALISTS, FIRST_ROUND, GRIDS, SEED, tuned
from alasso.targets import TARGETS


def test_a_search_marks_the_best_and_says_what_is_missing(tmp_path):
    tried = TARGETS["search-split-cifar-si"].experiments()
    for k, one in enumerate(tried[:3]):
        accuracy = stretched([[0.5, None], [0.5, 0.5 + (k == 1) / 10]], one.protocol.tasks)
        results.save(made_up(one, SEED, accuracy), one.path(tmp_path, SEED))
    rows = trials.table("search-split-cifar-si", tmp_path).splitlines()[2:]
    assert len(rows) == len(tried) == len(GRIDS["split-cifar"]["si"])
    assert [row.split("|")[2].strip() for row in rows] == ["50.0", "**55.0**", "50.0", *["not run yet"] * 7]


def test_a_search_has_found_something_when_its_last_trial_is_there(tmp_path):
    tried = TARGETS["search-pmnist30-ewc"].experiments()
    for k, one in enumerate(tried):
        assert trials.found("search-pmnist30-ewc", tmp_path) is None
        accuracy = stretched([[0.5, None], [0.5, 0.5 + (k == 2) / 10]], one.protocol.tasks)
        results.save(made_up(one, SEED, accuracy), one.path(tmp_path, SEED))
    assert trials.found("search-pmnist30-ewc", tmp_path) == {"c": "100"}


def test_a_setting_that_keeps_more_than_what_the_search_found_is_said(tmp_path):
    def settle(method, best, share):
        for k, trial in enumerate(TARGETS[f"search-pmnist30-{method}"].experiments()):
            tasks = trial.protocol.tasks
            matrix = stretched([[0.5, None], [0.5, 0.5 + (k == best) / 10]], tasks)
            results.save(made_up(trial, SEED, matrix), trial.path(tmp_path, SEED))
        chosen = experiment("pmnist30-short", method, trials.found(f"search-pmnist30-{method}", tmp_path))
        results.save(made_up(chosen, 0, stretched([[share, None], [share, share]], 30)), chosen.path(tmp_path, 0))
        return chosen.surrogate

    surrogate = settle("si", 3, 0.7)
    assert (surrogate.c, surrogate.damping) == (1, 0.001)
    settle("alasso-published", 1, 0.5)  # the literature's own
    assert trials.outdone("pmnist30-short", tmp_path) == []
    better = experiment("pmnist30-short", "si", {"c": "10"})
    results.save(made_up(better, 0, stretched([[0.75, None], [0.75, 0.75]], 30)), better.path(tmp_path, 0))
    assert trials.outdone("pmnist30-short", tmp_path) == [
        "SI keeps 70.0 % with c = 1, damping = 0.001, chosen at 2 epochs, and 75.0 % with c = 10, damping = 0.1."
    ]


def test_all_methods_of_a_search_have_as_many_trials():
    for preset, methods in GRIDS.items():
        assert len({len(tried) for tried in methods.values()}) == 1, preset
        for method, tried in methods.items():
            usual = experiment(preset, method).surrogate.c
            weights = [float(settings["c"]) for settings in tried]
            assert min(weights) <= usual <= max(weights), "around the literature's"
            assert all(experiment(preset, method, {**settings, **FIRST_ROUND[preset]}) for settings in tried)


def ranked(name: str) -> list[dict]:
    """The settings that a search tried, the best first; each must have been tried with its one seed."""
    target = TARGETS[name]
    tried = [recorded(one) for one in target.experiments()]
    assert [[run.seed for run in runs] for runs in tried] == [[target.first_seed]] * len(target.variations)
    order = sorted(range(len(tried)), key=lambda k: -metrics.final_accuracy(tried[k][0].matrix))
    return [
        {name: target.variations[k][name] for name in ("c", "damping") if name in target.variations[k]} for k in order
    ]


def test_what_searches_found_is_what_is_used():
    """Against the committed records: the three best of each grid, in the order of the second round."""
    assert FINALISTS
    for preset, methods in FINALISTS.items():
        for method, finalists in methods.items():
            best = ranked(f"search-{preset}-{method}")[:3]
            assert sorted(map(str, best)) == sorted(map(str, finalists))
            assert ranked(f"final-{preset}-{method}") == list(finalists)
            assert tuned(preset, method) == experiment(preset, method, finalists[0])
            if preset == "split-tiny-64":
                assert tuned("split-tiny", method) == experiment("split-tiny", method, finalists[0])
    assert tuned("split-tiny-64", "si", {"c": "2"}).surrogate.c == 2
