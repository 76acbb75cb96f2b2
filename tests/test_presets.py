"""Presets, methods and targets as data: what can be combined, and what the paper and the authors' code have."""

from dataclasses import asdict, replace

import pytest

from alasso import datasets
from alasso.errors import BadInput
from alasso.experiments import experiment
from alasso.presets import METHODS, PRESETS
from alasso.surrogates import ALASSO, SI
from alasso.targets import TARGETS

PERMUTED = [name for name, preset in PRESETS.items() if preset.protocol.classes_per_task == 0]
SPLIT = [name for name in PRESETS if name not in PERMUTED]
ONLY_PERMUTED = (
    "multi",
    "vcl",
    "dropout",
    "imm-mean",
    "imm-mode",
)  # mixed tasks; a mean-field mlp; dropout that Tables C and D have of their own, thrice


@pytest.mark.parametrize("method", METHODS)
def test_every_preset_takes_every_method_that_suits_it_and_changes_no_more_than_that_says(method):
    for preset in PERMUTED if method in ONLY_PERMUTED else PRESETS:
        chosen = experiment(preset, method)
        assert (chosen.preset, chosen.method) == (preset, method)
        assert {**asdict(PRESETS[preset].protocol), **METHODS[method].protocol} == asdict(chosen.protocol)
        own = PRESETS[preset].hyperparameters.get(method, {})
        assert {**asdict(METHODS[method].surrogate), **own} == asdict(chosen.surrogate)


@pytest.mark.parametrize("method", ONLY_PERMUTED)
@pytest.mark.parametrize("preset", SPLIT)
def test_a_method_that_a_convolutional_network_would_not_carry_out_is_refused(preset, method):
    with pytest.raises(BadInput):
        experiment(preset, method)


def test_hyperparameters_of_a_preset_are_of_methods_that_exist():
    assert all(name in METHODS for preset in PRESETS.values() for name in preset.hyperparameters)
    assert experiment("split-cifar", "si").surrogate == SI(c=0.1, damping=1e-3)
    assert experiment("pmnist10", "si").surrogate == SI(c=0.1, damping=0.1)


def test_split_presets_have_the_outputs_of_tables_c_and_d_and_classes_enough():
    outputs = {name: PRESETS[name].protocol.tasks * PRESETS[name].protocol.classes_per_task for name in SPLIT}
    assert outputs == {name: 90 if name.startswith("split-cifar") else 180 for name in SPLIT}
    assert outputs["split-cifar"] <= datasets.SIZES["cifar110"].classes
    assert outputs["split-tiny"] <= datasets.SIZES["tiny-imagenet"].classes


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_every_target_is_made_of_experiments_that_exist_each_of_them_once(target):
    assert target.preset in PRESETS
    assert set(target.methods) <= set(METHODS)
    made = target.experiments()
    assert {(e.method, e.protocol.tasks) for e in made} == {
        (m, int(v.get("tasks", PRESETS[target.preset].protocol.tasks)))
        for m in target.methods
        for v in target.variations
    }
    assert len({e.digest for e in made}) == len(made) == len(target.methods) * len(target.variations)


def test_table_1_varies_a_and_nothing_else():
    made = TARGETS["table-1-right"].experiments()
    assert [e.surrogate.a for e in made] == [0.8, 1, 2, 3, 4, 5]
    assert {replace(e.surrogate, a=1.8) for e in made} == {ALASSO.published()}
    assert {e.protocol for e in made} == {PRESETS["pmnist100"].protocol}


def test_published_has_the_values_of_the_authors_code():
    chosen = experiment("pmnist30", "alasso-published")
    assert asdict(chosen.surrogate) == {
        **{"a": 1.8, "a_prime": 1.0, "c": 1.0, "c_prime": 1.0, "epsilon": 1e-6, "epsilon_prime": 0.0},
        **{"damping": 0.1, "keep_maximum": True, "fixed_side": True, "perfect": True},
        "floor": True,  # of no effect beside the maximum
    }
    protocol = chosen.protocol
    assert (protocol.learning_rate, protocol.batch_size, protocol.epochs) == (1e-3, 256, 20)
    assert (protocol.hidden, protocol.dropout) == ((2000, 2000), (0.0, 0.0))
    assert protocol.initialisation == "glorot"
    assert not protocol.reset_optimizer
    assert not protocol.permute_first


def test_paper_is_the_formulas_to_the_letter_but_for_the_floor():
    chosen = experiment("pmnist30", "alasso-paper")
    assert (chosen.surrogate.c, chosen.surrogate.damping) == (1, 0)
    assert chosen.surrogate.epsilon == chosen.surrogate.epsilon_prime
    assert chosen.surrogate.perfect
    assert chosen.surrogate.floor
    assert not chosen.surrogate.keep_maximum
    assert not chosen.surrogate.fixed_side
    assert chosen.protocol == replace(PRESETS["pmnist30"].protocol, permute_first=True)


@pytest.mark.parametrize(
    ("method", "taken_away"),
    [
        ("alasso-si-importance", {"perfect": False}),
        ("alasso-symmetric", {"a": 1.0, "epsilon": 0.0}),
        ("alasso-coupled", {"a_prime": 1.8, "epsilon_prime": 1e-6}),
    ],
)
def test_an_ablation_is_published_less_one_thing(method, taken_away):
    published, ablation = (asdict(METHODS[name].surrogate) for name in ("alasso-published", method))
    assert {name: value for name, value in ablation.items() if value != published[name]} == taken_away
    if method != "alasso-si-importance":
        assert (ablation["a"], ablation["epsilon"]) == (ablation["a_prime"], ablation["epsilon_prime"])
