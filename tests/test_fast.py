"""The fast path against the reference: the same steps, the same state, for every method and every network."""

import os
import subprocess
import warnings
from dataclasses import replace

import pytest
import small_runs
import torch

from alasso import fast, networks, results
from alasso.errors import Notice
from alasso.fast import FastLearner
from alasso.gradients import AutogradGradient, make_gradient
from alasso.networks import CNN, MLP, MeanFieldMLP, loss_and_gradient, pixels
from alasso.presets import METHODS
from alasso.protocol import Protocol
from alasso.rivals import IMM, VCL
from alasso.surrogates import ALASSO, SI
from alasso.tasks import generator, split_stream
from alasso.train import Learner, train_stream

STEPS = 100
PROTOCOL = Protocol(dataset="mnist5k", tasks=2, hidden=(8,), epochs=17, batch_size=32, learning_rate=1e-3)
SMALL_CNN = CNN(8, ((4,), (4,)), 16, 9)


@pytest.fixture(params=[True, False], ids=["compiled", "uncompiled"])
def compiled(request, monkeypatch):
    """Both as it is with a C++ compiler and as it is without one."""
    if not request.param:
        monkeypatch.setattr(fast, "can_compile", lambda: False)
        monkeypatch.setattr(fast, "_compiled_update", lambda: fast.update)


@pytest.fixture(autouse=True)
def in_pieces(monkeypatch):
    """Small networks and batches, in several and uneven pieces as large ones are."""
    monkeypatch.setattr(fast, "SLICE", 10)
    monkeypatch.setattr(networks, "LARGEST_LAYER", 5 * 4 * SMALL_CNN.widest)


def trajectory(make, network, surrogate, stream, protocol=PROTOCOL):
    """θ and State after each of the first steps, and after the task that ends among them."""
    seen = []

    def watch(place, learner, loss):
        if learner and len(seen) <= STEPS:
            seen.append([learner.theta.clone(), *(t.clone() for t in learner.state)])

    train_stream(network, surrogate, stream, protocol, 0, "cpu", watch, make)
    return seen


def compare(network, surrogate, stream, protocol=PROTOCOL):
    """The fast learner's trajectory against the reference's, each vector relative to its own size."""
    expected = trajectory(Learner, network, surrogate, stream[:2], protocol)
    actual = trajectory(FastLearner, network, surrogate, stream[:2], protocol)
    assert len(actual) == len(expected) == STEPS + 1
    for step, (mine, theirs) in enumerate(zip(actual, expected, strict=True)):
        for a, b in zip(mine, theirs, strict=True):
            # the same numbers, summed in another order
            assert (a - b).abs().mean() <= 1e-5 * b.abs().mean() + 1e-12, step


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("dropout", "multi")])  # as plain training
def test_theta_and_state_are_the_references_for_every_method(method, stream, compiled):
    chosen = METHODS[method]
    network = MeanFieldMLP((9, 8, 3)) if isinstance(chosen.surrogate, VCL) else MLP((9, 8, 3), (0.2, 0.5))
    compare(network, chosen.surrogate, stream, replace(PROTOCOL, **{"fresh_network": method == "single"}))


def test_theta_and_state_are_the_references_for_convolutions_and_split_outputs(pictures, compiled):
    stream = split_stream(pictures, 3, 3, seed=0)
    compare(SMALL_CNN, ALASSO.published(), stream, replace(PROTOCOL, epochs=26, reset_optimizer=True))


@pytest.mark.parametrize("method", ["ewc", "vcl"])
def test_theta_and_state_are_the_references_for_dense_networks_on_split_images(method, pictures, compiled):
    network = (MeanFieldMLP if method == "vcl" else MLP)((3 * 8 * 8, 8, 9))
    compare(network, METHODS[method].surrogate, split_stream(pictures, 3, 3, seed=0), replace(PROTOCOL, epochs=50))


@pytest.mark.parametrize("make", [Learner, FastLearner])
def test_nothing_keeps_a_graph_though_theta_requires_gradients(make, network, stream):
    theta = network.init(generator(0, "theta")).requires_grad_()
    learner = make(network, ALASSO.published(), theta, stream[0], PROTOCOL)
    images, y = stream[0].train()
    before = theta.detach().clone()
    learner.step(images[:32], y[:32], slice(None), generator(0, "noise"))
    learner.consolidate(stream[0], None)
    assert not any(t.requires_grad for t in (learner.theta, *learner.state))
    assert not torch.equal(theta, before), "it is θ itself that is trained"


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("network", [MLP((9, 8, 7, 6), (0.2, 0.5)), MeanFieldMLP((9, 8, 7, 6))], ids=["mlp", "vcl"])
def test_the_gradient_written_by_hand_is_autograds(network, fused, dataset, monkeypatch):
    """With the processor's own product of several steps, and as on other devices without it."""
    if not fused:
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    outputs = slice(2, 5)
    theta = network.lift(network.point.init(generator(0, "theta"))) + 0.01
    images, y = dataset.train_images[:20], torch.arange(20) % 3
    noise = network.noise(20, generator(0, "noise"))
    expected_loss, expected = loss_and_gradient(network, theta, pixels(images.flatten(1)), y, outputs, noise)
    by_hand = make_gradient(network, theta, 32, torch.float32)
    assert not isinstance(by_hand, AutogradGradient)
    loss, g = by_hand(theta, images, y, outputs, noise)
    torch.testing.assert_close(loss, expected_loss)
    torch.testing.assert_close(g, expected)
    assert g.abs().sum() > 0


def test_the_gradient_of_convolutions_in_pieces_is_that_of_the_batch(pictures):
    theta = SMALL_CNN.init(generator(0, "theta"))
    images, y = pictures.train_images[:32], torch.arange(32) % 3
    noise = SMALL_CNN.noise(32, generator(0, "noise"))
    expected_loss, expected = loss_and_gradient(SMALL_CNN, theta, pixels(images), y, slice(3, 6), noise)
    by_piece = make_gradient(SMALL_CNN, theta, 32, torch.float32)
    assert by_piece.images == 5
    loss, g = by_piece(theta, images, y, slice(3, 6), noise)
    torch.testing.assert_close(loss, expected_loss)
    torch.testing.assert_close(g, expected)


def test_a_surrogate_that_says_it_is_entrywise_is():
    """The end of a task on a permuted θ is the permuted end of a task."""
    theta, start = torch.randn(2, 50, generator=generator(0, "theta")).unbind()
    order = torch.randperm(50, generator=generator(0, "order"))
    entrywise = [m.surrogate for m in METHODS.values() if getattr(m.surrogate, "entrywise", False)]
    assert len(entrywise) >= 5
    for surrogate in entrywise:
        state = surrogate.observe(surrogate.init(start, None), start, theta)
        permuted = type(state)(*(t[order] for t in state))
        expected = surrogate.consolidate(state, theta, None, None, None)
        for mine, whole in zip(surrogate.consolidate(permuted, theta[order], None, None, None), expected, strict=True):
            assert torch.equal(mine, whole[order])


def test_bfloat16_products_keep_float32_weights_and_come_near(stream):
    """Rounding of products to 8 bits shows, and no more than that."""
    network, surrogate = MLP((9, 8, 3)), ALASSO.published()
    learner = FastLearner(network, surrogate, network.init(generator(0, "theta")), stream[0], PROTOCOL, "bfloat16")
    assert learner.low.dtype == torch.bfloat16
    kept = {"θ": learner.theta, "m": learner.first, "v": learner.second, **learner.state._asdict()}
    assert {name for name, t in kept.items() if t.dtype != torch.float32} == {"side"}
    assert set(learner.state.side.unique().tolist()) <= {-1, 0, 1}
    images, y = stream[0].train()
    start = learner.theta.clone()
    learner.step(images[:32], y[:32], slice(None), generator(0, "noise"))
    _, expected = loss_and_gradient(network, start, pixels(images[:32]), y[:32])
    error = (learner.first / (1 - fast.BETA1) - expected).norm() / expected.norm()  # the first moment of one step is g
    assert 0 < error < 0.02
    assert torch.equal(learner.low, learner.theta.bfloat16())


def test_no_setting_and_no_step_compiles_anything_again(stream):
    network, protocol = MLP((9, 8, 3)), replace(PROTOCOL, epochs=2)
    train_stream(network, ALASSO.published(), stream, protocol, 0, "cpu", lambda *_: None, FastLearner)
    whole = FastLearner(network, ALASSO(c=1, a=3), network.init(generator(0, "whole")), stream[0], PROTOCOL)
    assert whole.scalars.c.dtype == whole.scalars.a.dtype == torch.float32, "whole numbers are no constants either"
    with torch._dynamo.config.patch(error_on_recompile=True):
        for a in (0.8, 2.0, 3.5):
            other = replace(ALASSO.published(), a=a, c=a / 2, epsilon=a / 10)
            train_stream(network, other, stream, protocol, 0, "cpu", lambda *_: None, FastLearner)


def test_what_is_written_in_place_is_nobody_elses(stream):
    """An initial state has one tensor of zeros under two names; importance must stay zero through the first task."""
    network = MLP((9, 8, 3))
    *seen, _ = trajectory(FastLearner, network, SI(), stream[:1])
    for _, _, importance, _, path_integral in seen:
        assert not importance.any()
        assert path_integral.any()


@pytest.mark.parametrize(
    ("compiler", "missing"), [("none", r"C\+\+ compiler"), ("broken", r"C\+\+ compiler"), ("works", r"Python\.h")]
)
def test_without_a_compiler_or_what_it_includes_it_says_so_once(monkeypatch, tmp_path, compiler, missing):
    from torch._inductor import cpp_builder
    from torch._inductor.exc import InvalidCxxCompiler

    def none():
        raise InvalidCxxCompiler

    if compiler == "none":
        monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    elif compiler == "broken":
        monkeypatch.setattr(cpp_builder, "get_cpp_compiler", lambda: "false")
    else:
        monkeypatch.setattr(fast.sys, "platform", "linux")
        monkeypatch.setattr(fast.sysconfig, "get_path", lambda name: str(tmp_path))
    fast.can_compile.cache_clear()
    with pytest.warns(Notice, match=f"no {missing}"):
        assert not fast.can_compile()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not fast.can_compile()
    fast.can_compile.cache_clear()


def test_the_quick_route_of_float32_products_is_left_where_it_rounds(monkeypatch):
    before = torch.get_float32_matmul_precision()
    with fast.quick_float32("cpu"):
        a, b = torch.rand(2, 64, 64, generator=generator(0, "matrices"))
        exact = a.double() @ b.double()
        assert ((a @ b - exact).abs() / exact).max() < 1e-5
    assert torch.get_float32_matmul_precision() == before

    def rounding(a, b):
        return torch.mm(a, b) if a.dtype == torch.float64 else torch.mm(a.bfloat16().float(), b.bfloat16().float())

    monkeypatch.setattr(torch.Tensor, "__matmul__", rounding)
    with fast.quick_float32("cpu") as route:
        assert route == before

    def exactly(a, b):
        return torch.mm(a.double(), b.double()).to(a.dtype)

    monkeypatch.setattr(torch.Tensor, "__matmul__", exactly)
    with fast.quick_float32("cpu") as route:
        assert route == "medium"


def test_float64_is_asked_of_the_processor_only(monkeypatch):
    """Some devices, such as mps, have none."""
    here, cpu, double = [], torch.Tensor.cpu, torch.Tensor.double

    def moved(tensor):
        here.append(result := cpu(tensor))
        return result

    def asked(tensor):
        assert any(tensor is known for known in here), "of a tensor that may be elsewhere"
        return double(tensor)

    monkeypatch.setattr(torch.Tensor, "cpu", moved)
    monkeypatch.setattr(torch.Tensor, "double", asked)
    with fast.quick_float32("cpu"):
        assert len(here) >= 2


@pytest.mark.parametrize(
    ("has", "precision"),
    [
        ({}, "float32"),
        ({"avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True}, "bfloat16"),
        ({"avx512f": True}, "float32"),
    ],
)
def test_bfloat16_is_for_processors_that_multiply_in_it(monkeypatch, has, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    assert fast.native_precision("cpu") == precision
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert fast.native_precision("cuda") == fast.native_precision("mps") == "float32"


def test_bfloat16_trains_on_a_processor_without_it(tmp_path):
    """Told to stop at AVX2, the library of products refuses bfloat16 in some of its calls."""
    older = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    command = [*small_runs.ALASSO, "run", "pmnist-tiny", "none", "--precision", "bfloat16", "--results", tmp_path]
    subprocess.run(command, env=older, check=True)
    (record,) = results.records(tmp_path)
    assert results.load(record).precision == "bfloat16"


def test_in_bfloat16_the_gradient_is_taken_where_drop_transfer_says(stream):
    network, surrogate = MLP((9, 8, 3)), IMM()
    learner = FastLearner(network, surrogate, network.init(generator(0, "theta")), stream[0], PROTOCOL, "bfloat16")
    images, y = stream[0].train()
    start = learner.theta.clone()
    learner.step(images[:16], y[:16], slice(None), generator(0, "noise"))
    at, scale = surrogate.train_at(surrogate.init(start, None), start, network, generator(0, "noise"))
    _, g = loss_and_gradient(network, at, pixels(images[:16]), y[:16])
    error = (learner.first / (1 - fast.BETA1) - scale * g).norm() / (scale * g).norm()
    assert 0 < error < 0.02


@pytest.mark.parametrize(
    "network", [CNN(8, ((4,), (4,)), 16, 6), MeanFieldMLP((192, 8, 6)), MLP((192, 8, 6))], ids=["cnn", "vcl", "mlp"]
)
def test_bfloat16_is_that_of_every_networks_products_and_not_of_the_loss(network, pictures):
    theta = network.lift(network.point.init(generator(0, "theta")))
    images, y = pictures.train_images[:32], torch.arange(32) % 3
    noise = network.noise(32, generator(0, "noise"))
    expected_loss, expected = loss_and_gradient(network, theta, pixels(images), y, slice(3, 6), noise)
    gradient = make_gradient(network, theta, 32, torch.bfloat16)
    weights = theta.bfloat16() if isinstance(network, MLP) else theta
    loss, g = gradient(weights, images, y, slice(3, 6), noise)
    assert 1e-4 < (g.float() - expected).norm() / expected.norm() < 0.1
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected_loss, rtol=0.02, atol=0)


def test_point_networks_are_tested_in_float32(network, stream, monkeypatch):
    learner = FastLearner(network, SI(), network.init(generator(0, "theta")), stream[0], PROTOCOL, "bfloat16")
    seen = []
    monkeypatch.setattr(fast, "accuracy", lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    learner.accuracy(learner.theta, stream[0])
    assert seen == [False]
