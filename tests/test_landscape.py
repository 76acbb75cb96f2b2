"""Rises along single parameters against full forward passes, and the first task against the training loop."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from training import trained

from alasso import landscape, results
from alasso.experiments import experiment
from alasso.networks import MLP, pixels
from alasso.presets import PRESETS
from alasso.run import build_network
from alasso.surrogates import NoSurrogate
from alasso.tasks import generator, permuted_stream


@pytest.fixture(scope="module")
def first():
    return landscape.first_task("pmnist-tiny", seed=3)


def full_loss(network, theta, images, labels):
    return F.cross_entropy(network.logits(theta, pixels(images).double()), labels).item()


@pytest.mark.parametrize("sizes", [(9, 3), (9, 6, 3), (9, 6, 5, 3), (9, 6, 5, 4, 3)])
def test_rises_are_those_of_full_forward_passes(dataset, sizes, monkeypatch):
    monkeypatch.setattr(landscape, "BATCH", 40)  # 96 images: two whole batches and a rest
    network = MLP(sizes)
    theta = (2 * network.init(generator(0, "theta")) + 0.05).double()  # biases that are not zero
    images, labels = dataset.train_images.flatten(1), dataset.train_labels
    index = torch.arange(network.size)
    offsets = torch.randn(network.size, 3, generator=generator(0, "offsets"), dtype=torch.float64)
    offsets[::4, 0] = 0
    expected = torch.empty_like(offsets)
    usual = full_loss(network, theta, images, labels)
    for k in index:
        for s in range(3):
            moved = theta.clone()
            moved[k] += offsets[k, s]
            expected[k, s] = full_loss(network, moved, images, labels) - usual
    actual = landscape.rises(network, theta, images, labels, index, offsets)
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-13)
    assert actual[::4, 0].abs().max() == 0


def test_the_first_task_is_that_of_plain_training(first):
    protocol = experiment("pmnist-tiny", "none").protocol
    stream = permuted_stream(first.task.dataset, 1, 3, protocol.permute_first)
    _, thetas, _ = trained(build_network(protocol, first.task.dataset), NoSurrogate(), stream, protocol, seed=3)
    assert torch.equal(first.theta, thetas[0])
    assert not torch.equal(first.theta, first.previous)


def test_a_sample_holds_what_it_says(first):
    measured = landscape.sample(first, per_layer=20, seed=0)
    images, labels = first.task.train()
    theta, delta = first.theta.double(), first.theta.double() - first.previous.double()
    usual = full_loss(first.network, theta, images, labels)
    bounds = landscape.layer_bounds(first.network)
    assert np.bincount(measured.layer).tolist() == [20] * len(bounds)
    slopes = landscape.slope(first)
    for layer, displacement, path_integral, slope, observed, unobserved in zip(
        *(getattr(measured, name) for name in ("layer", *landscape.COLUMNS)), strict=True
    ):
        start, end = bounds[layer]
        (k,) = (start + (delta[start:end] == displacement).nonzero().squeeze(1)).tolist()
        assert (path_integral, slope) == (first.path_integral[k].item(), slopes[k].item())
        back, beyond = theta.clone(), theta.clone()
        back[k], beyond[k] = first.previous[k], theta[k] + delta[k]
        assert full_loss(first.network, back, images, labels) - usual == pytest.approx(observed, abs=1e-12)
        assert full_loss(first.network, beyond, images, labels) - usual == pytest.approx(unobserved, abs=1e-12)


def test_a_parabola_bends_alike_on_both_sides_however_it_is_tilted():
    displacement, curvature, tilt = np.array([1.0, -2.0]), 3.0, 0.7
    rises = [curvature * step**2 + tilt * step for step in (-displacement, displacement)]
    slope = np.full(2, tilt)
    measured = landscape.Sample(np.zeros(2), displacement, np.zeros(2), slope, *rises)
    np.testing.assert_allclose(measured.bends, [curvature * displacement**2] * 2)


def test_the_slope_is_the_limit_of_the_rises(first):
    images, labels = first.task.train()
    index = torch.arange(0, first.network.size, 997)
    step = torch.full((len(index), 1), 1e-5).double()
    up_and_down = landscape.rises(first.network, first.theta, images, labels, index, torch.cat([-step, step], 1))
    difference = (up_and_down[:, 1] - up_and_down[:, 0]) / 2e-5
    torch.testing.assert_close(landscape.slope(first)[index], difference, rtol=1e-3, atol=1e-7)


def test_losses_fall_along_the_training(first):
    before, middle, after = landscape.losses(
        first.network, first.task, [first.previous, (first.previous + first.theta) / 2, first.theta]
    )
    assert before > middle > after
    images, labels = first.task.train()
    assert after == pytest.approx(full_loss(first.network, first.theta.double(), images, labels), rel=1e-5)


def test_epochs_lead_from_one_end_of_the_training_to_the_other(monkeypatch):
    """The first ones are those of a training that ends there; the last one is where the task ends."""
    usual = PRESETS["pmnist-tiny"]

    def trained(epochs):
        changed = replace(usual, protocol=replace(usual.protocol, epochs=epochs))
        monkeypatch.setitem(PRESETS, "pmnist-tiny", changed)
        return landscape.first_task("pmnist-tiny", seed=3)

    three, one = trained(3), trained(1)
    assert len(three.epochs) == 3
    assert three.epochs[:1] == one.epochs
    (loss,) = landscape.losses(three.network, three.task, [three.theta])
    moved = (three.theta - three.previous).double()
    assert three.epochs[-1] == (loss, three.path_integral.double().sum().item(), moved.square().mean().item())


def test_a_measurement_comes_back_as_it_was_written(first, tmp_path):
    measured = landscape.sample(first, per_layer=5, seed=0)
    landscape.save(first, measured, "pmnist-tiny", 0, tmp_path)
    again, about = landscape.load(landscape.path("pmnist-tiny", 0, tmp_path))
    for name, column in asdict(measured).items():
        np.testing.assert_allclose(asdict(again)[name], column, rtol=1e-5)
    assert about["command"] == "python -m alasso.landscape pmnist-tiny 0"
    beyond = 2 * first.theta - first.previous
    assert about["loss"] == landscape.losses(first.network, first.task, [first.previous, first.theta, beyond])
    assert about["epochs"] == [epoch._asdict() for epoch in first.epochs]


def test_committed_measurements_are_whole_and_made_by_committed_code():
    files = sorted((results.folder() / "landscape").glob("*/*.json"))
    assert files
    for file in files:
        measured, about = landscape.load(file)
        assert about["dirty"] is False, file
        assert file == landscape.path(about["preset"], about["seed"], results.folder())
        assert len({len(column) for column in asdict(measured).values()}) == 1, file
        # the slope is a little of both rises: what is odd in them at first order
        odd = (measured.unobserved - measured.observed) / 2
        assert np.corrcoef(odd, measured.slope * measured.displacement)[0, 1] > 0, file


def test_a_measurement_that_is_there_is_not_made_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(results, "folder", lambda: tmp_path)
    monkeypatch.setattr(landscape, "first_task", None)
    file = landscape.path("pmnist-tiny", 0, tmp_path)
    file.parent.mkdir(parents=True)
    committed = (results.ROOT / "results" / "landscape" / "pmnist30" / "s0.json").read_bytes()
    file.write_bytes(committed)
    assert landscape.main(["pmnist-tiny", "0"]) == 0
    assert capsys.readouterr().out == f"{file}\n"
    assert file.read_bytes() == committed


def test_a_folder_that_cannot_be_written_is_refused_before_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(results, "folder", lambda: tmp_path)
    monkeypatch.setattr(landscape, "first_task", None)
    (tmp_path / "landscape").write_text("in the way")
    assert landscape.main(["pmnist-tiny", "0"]) == 2
    assert "landscape" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "must be a preset and a seed"),
        (["pmnist30"], "'pmnist30': must be a preset and a seed"),
        (["pmnist30", "-1"], "seed -1: must be a whole number ≥ 0"),
        (["pmnist30", "9" * 5000], "999999999999999999 at most"),
        (["pmnist\n30", "0"], "preset"),
        (["pmnist-tinny", "0"], "did you mean pmnist-tiny?"),
        (["split-cifar", "0"], "preset=split-cifar: must be one of permuted pixels"),
        (["../../elsewhere", "0"], "preset"),
        (["a" * 300, "0"], "preset"),
    ],
)
def test_input_that_cannot_be_is_refused_in_one_line(arguments, named, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(results, "folder", lambda: tmp_path / "results")
    assert landscape.main(arguments) == 2
    assert not list(tmp_path.iterdir())
    error = capsys.readouterr().err
    assert named in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"layer": [1]}', "\u00ff"])
def test_a_torn_measurement_is_refused_by_name(tmp_path, monkeypatch, capsys, content):
    monkeypatch.setattr(landscape.results, "folder", lambda: tmp_path)
    file = landscape.path("pmnist-tiny", 0, tmp_path)
    file.parent.mkdir(parents=True)
    file.write_text(content, encoding="latin-1")
    assert landscape.main(["pmnist-tiny", "0"]) == 2
    assert capsys.readouterr().err == f"alasso.landscape: {file}: no whole measurement; delete it and measure again\n"
