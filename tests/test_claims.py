"""Whether claims hold, from records made up for the purpose and from the committed ones."""

import json
import statistics

import pytest
from records import made_up, stretched

from alasso import claims, numbers, results
from alasso.claims import CLAIMS, CONTROLS, Claim, Place
from alasso.experiments import experiment
from alasso.search import tuned

HERE, THERE = Place("here", "pmnist10"), Place("there", "pmnist10", {"epochs": "2"})
AHEAD = Claim("ALASSO is ahead of both", 0.1, {"si": ({}, {"c": "1"}), "none": ({},)}, (HERE, THERE))


def write(folder, method, shares, place=HERE, settings=None):
    """Records of this experiment, a seed for each share that is kept."""
    made = experiment(place.preset, method, {**(settings or {}), **place.changes})
    for seed, share in enumerate(shares):
        results.save(made_up(made, seed, stretched([[share, None], [share, share]], 10)), made.path(folder, seed))


@pytest.mark.parametrize(
    ("ours", "theirs", "answer"),
    [
        ([0.87], [0.7], "yes"),  # .07 over the bound of .1, and one seed may move by .06
        ([0.85], [0.7], "not settled"),
        ([0.75], [0.7], "not settled"),
        ([0.73], [0.7], "no"),
        ([0.843, 0.843], [0.7, 0.7], "yes"),  # .043 over it; two seeds may move by 2 × .03 / √2 = .0424, however alike
        ([0.842, 0.842], [0.7, 0.7], "not settled"),
        ([0.758, 0.758], [0.7, 0.7], "not settled"),
        ([0.757, 0.757], [0.7, 0.7], "no"),
        ([0.835, 0.845, 0.855], [0.7, 0.71, 0.72], "yes"),  # .035 over it, whatever the tasks of a seed are like
        ([0.835, 0.845, 0.855], [0.74, 0.71, 0.68], "not settled"),  # .035, by hand ± .0231: two of these are more
        ([0.76, 0.77, 0.78], [0.7, 0.71, 0.72], "no"),
    ],
)
def test_an_answer_needs_more_than_chance(tmp_path, ours, theirs, answer):
    write(tmp_path, "alasso-published", ours)
    write(tmp_path, "si", theirs)
    write(tmp_path, "none", [0.1] * len(theirs))
    found = claims.lead(AHEAD, HERE, tmp_path)
    gaps = [a - b for a, b in zip(ours, theirs, strict=True)]
    assert found.points == pytest.approx(statistics.mean(gaps))
    assert found.error == pytest.approx(statistics.stdev(gaps) / len(gaps) ** 0.5 if len(gaps) > 1 else 0)
    assert (found.seeds, found.missing, found.answer(AHEAD)) == (len(ours), (), answer)


@pytest.mark.parametrize(
    ("ours", "answer"),
    [
        ([0.8], "no"),  # .09 beyond the bound of .01, to either side
        ([0.6], "no"),
        ([0.7], "not settled"),
        ([0.701, 0.702, 0.703], "not settled"),  # .008 within it, and three seeds may move by .035
        ([0.701, 0.703] * 32, "yes"),
        ([0.75, 0.76, 0.77], "no"),
        ([0.67, 0.72, 0.74], "not settled"),
    ],
)
def test_two_that_are_said_to_keep_the_same_may_differ_neither_way(tmp_path, ours, answer):
    write(tmp_path, "alasso-published", ours)
    write(tmp_path, "si", [0.7] * len(ours))
    same = Claim("both keep the same", 0.01, {"si": ({},)}, (HERE,), same=True)
    assert claims.lead(same, HERE, tmp_path).answer(same) == answer


def test_the_best_setting_of_the_best_rival_counts_and_one_without_a_run_leaves_it_open(tmp_path):
    write(tmp_path, "alasso-published", [0.9, 0.9])
    assert claims.lead(AHEAD, HERE, tmp_path) is None
    write(tmp_path, "si", [0.5])
    write(tmp_path, "si", [0.6], settings={"c": "1"})
    found = claims.lead(AHEAD, HERE, tmp_path)
    assert (found.points, found.seeds, found.missing) == (pytest.approx(0.3), 1, ("plain training",))
    assert found.answer(AHEAD) == "not settled", "plain training may be nearer"
    write(tmp_path, "si", [0.87], settings={"c": "1"})
    assert claims.lead(AHEAD, HERE, tmp_path).answer(AHEAD) == "no", "whatever plain training does"
    row = "| ALASSO is ahead of both | **no**, at most +3.0 over SI with c = 1 (here, 1 seed) | not run |"
    assert claims.table("claim", [AHEAD], tmp_path).splitlines()[2:] == [row]


def test_each_of_the_others_must_be_passed_and_one_that_refutes_is_enough(tmp_path):
    write(tmp_path, "alasso-published", [0.9, 0.9, 0.9])
    write(tmp_path, "si", [0.75, 0.75, 0.75])  # .15 ± .0346: beyond .1
    write(tmp_path, "none", [0.2])
    assert claims.lead(AHEAD, HERE, tmp_path).answer(AHEAD) == "yes"
    write(tmp_path, "si", [0.745], settings={"c": "1"})  # .155 ± .06, further away and less sure
    assert claims.lead(AHEAD, HERE, tmp_path).answer(AHEAD) == "not settled"
    write(tmp_path, "none", [0.84, 0.84, 0.84])  # .06 ± .0346: short of .1
    write(tmp_path, "si", [0.85], settings={"c": "1"})  # .05 ± .06, nearer and less sure
    assert claims.lead(AHEAD, HERE, tmp_path).answer(AHEAD) == "no"


def test_what_is_changed_at_a_place_is_changed_on_both_sides(tmp_path):
    write(tmp_path, "alasso-published", [0.9, 0.9], THERE)
    write(tmp_path, "si", [0.5, 0.6], THERE)
    write(tmp_path, "none", [0.9])
    assert claims.lead(AHEAD, HERE, tmp_path) is None
    row = "| ALASSO is ahead of both | not run | **not settled**, at most +35.0 ± 5.0 over SI (there, 2 seeds) |"
    assert claims.table("claim", [AHEAD], tmp_path).splitlines()[2:] == [row]


def test_the_figure_has_each_lead_and_what_chance_may_do_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "CLAIMS", (AHEAD,))
    assert not claims.figure(tmp_path).axes[0].patches, "axes, and nothing on them without runs"
    write(tmp_path, "alasso-published", [0.9, 0.9])
    write(tmp_path, "si", [0.5, 0.6])
    write(tmp_path, "alasso-published", [0.9], THERE)
    write(tmp_path, "si", [0.87], THERE)
    write(tmp_path, "none", [0.2], THERE)
    (ax,) = claims.figure(tmp_path).axes
    here, there = [line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_linewidth() > 2]
    assert list(here.get_xdata()) == pytest.approx([0.25, 0.45])  # .4 and .3, standard error .05
    assert list(there.get_xdata()) == pytest.approx([-0.03, 0.09])  # .03, one seed
    assert here.get_color() == claims.COLOURS["not settled"], "plain training may be nearer"
    assert there.get_color() == claims.COLOURS["no"]
    dots = [line for line in ax.lines if len(line.get_xdata()) == 1]
    assert [(line.get_xdata()[0], line.get_marker()) for line in dots] == [
        (pytest.approx(0.35), "<"),
        (pytest.approx(0.03), "o"),
    ]
    (holds,) = ax.patches
    assert holds.get_x() == AHEAD.needed


def test_the_committed_answers_are_those_of_the_files():
    """The third: the ablation without asymmetry, at twenty epochs; against means of last rows."""

    def kept(method):
        found = sorted(results.folder().glob(f"pmnist30/{method}-{tuned('pmnist30', method).digest}-s?.json"))
        rows = {path.stem[-1]: json.loads(path.read_text(encoding="utf-8"))["accuracy"][-1] for path in found}
        return {seed: 100 * statistics.mean(row) for seed, row in rows.items()}

    ours, others = kept("alasso-published"), kept("alasso-symmetric")
    gaps = [ours[seed] - others[seed] for seed in sorted(ours.keys() & others.keys())]
    gap, seeds = statistics.mean(gaps), len(gaps)
    error = statistics.stdev(gaps) / seeds**0.5 if seeds > 1 else 0
    answer = "not settled" if abs(gap) <= 2 * max(error, 3 / seeds**0.5) else "yes" if gap > 0 else "no"
    said = f"{gap:+.1f} ± {error:.1f} (20 epochs, {seeds} seeds)" if seeds > 1 else f"{gap:+.1f} (20 epochs, 1 seed)"
    assert claims.overview().splitlines()[4].startswith(f"| {CLAIMS[2].says} | **{answer}**, {said}")


def test_every_question_can_be_asked_at_each_of_its_places():
    for claim in (*CLAIMS, *CONTROLS):
        for place in claim.places:
            for name, settings in {**claim.ours, **claim.others}.items():
                assert all(tuned(place.preset, name, {**one, **place.changes}) for one in settings)


def test_the_papers_own_numbers_are_asked_for():
    """A bound is the paper's number less the margin of `numbers`."""
    stated = {number.what: number for number in numbers.load()}
    for claim, what in zip(
        (CLAIMS[0], CLAIMS[5], CLAIMS[6], CLAIMS[8]),
        (
            "30 tasks, ALASSO above the best of the other methods",
            "split CIFAR, ALASSO above SI",
            "split CIFAR, single task above SI",
            "split Tiny ImageNet, ALASSO above SI",
        ),
        strict=True,
    ):
        number = stated[what]
        assert claim.needed == pytest.approx(number.paper - (numbers.ROUGH if number.about else numbers.CLOSE))
        assert set(claim.others) == set(number.against)
