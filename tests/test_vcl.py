"""VCL and its mean field against torch's own distributions, drawn weights and exact Bayesian inference."""

from types import SimpleNamespace

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from training import PROTOCOL

from alasso import fast, formulas
from alasso.fast import FastLearner
from alasso.networks import MLP, MeanFieldMLP, accuracy, pixels
from alasso.rivals import VCL
from alasso.surrogates import NoSurrogate
from alasso.tasks import generator
from alasso.train import Learner, initial_theta, train_stream


@pytest.fixture
def beliefs():
    """q and p, means and log-variances of 20 Gaussians each, (2, 40)."""
    return torch.randn(2, 40, generator=generator(0, "beliefs"), dtype=torch.float64)


def test_kl_divergence_is_that_of_torch(beliefs):
    q, p = (Normal(mean, (log_variance / 2).exp()) for mean, log_variance in (b.chunk(2) for b in beliefs))
    torch.testing.assert_close(formulas.gaussian_kl(*beliefs), kl_divergence(q, p))


def test_kl_divergences_gradient_is_that_of_autograd(beliefs):
    expected = torch.func.grad(lambda q: formulas.gaussian_kl(q, beliefs[1]).sum())(beliefs[0])
    torch.testing.assert_close(formulas.gaussian_kl_gradient(*beliefs), expected)


def test_vcl_is_exact_bayesian_inference_on_separable_quadratics():
    """A mean loss h(θ − m)² over N images is the Gaussian likelihood of precision 2Nh about m; the prior is N(0, 1)."""
    images, surrogate = 40, VCL()
    h = torch.rand(4, 20, generator=generator(0, "h"), dtype=torch.float64) + 0.1
    m = torch.randn(4, 20, generator=generator(0, "m"), dtype=torch.float64)
    state = surrogate.init(
        torch.randn(40, generator=generator(0, "θ"), dtype=torch.float64), SimpleNamespace(epoch_size=images)
    )
    for n in range(4):
        precision = 1 + 2 * images * h[: n + 1].sum(0)
        posterior = torch.cat([2 * images * (h * m)[: n + 1].sum(0) / precision, -precision.log()])

        def mean_loss(q, n=n):
            mean, log_variance = q.chunk(2)
            return (h[n] * ((mean - m[n]) ** 2 + log_variance.exp())).sum()

        loss_gradient = torch.func.grad(mean_loss)(posterior)
        assert loss_gradient.abs().min() > 1e-6
        torch.testing.assert_close(surrogate.gradient(state, posterior), -loss_gradient)
        state = surrogate.consolidate(state, posterior, None, None, None)


SIZES = (4, 5, 3)
DRAWS = 40_000


@pytest.fixture
def belief():
    """Means and log-variances of a small network's weights, each another."""
    theta = torch.randn(MeanFieldMLP(SIZES).size, generator=generator(0, "belief"))
    means, log_variances = theta.chunk(2)
    return torch.cat([means, log_variances - 1])


@pytest.fixture
def image():
    return torch.rand(1, 4, generator=generator(0, "image"))


def logits_of_drawn_weights(belief, image):
    """The logits of an MLP whose weights are drawn, DRAWS times, (DRAWS, 3)."""
    means, log_variances = belief.chunk(2)
    noise = torch.randn(DRAWS, len(means), generator=generator(1))
    weights = means + noise * (log_variances / 2).exp()
    return torch.func.vmap(lambda theta: MLP(SIZES).logits(theta, image)[0])(weights)


def test_noise_on_units_has_the_distribution_of_noise_on_weights(belief, image):
    logits = MeanFieldMLP(SIZES).logits(belief, image.expand(DRAWS, 4), MeanFieldMLP(SIZES).noise(DRAWS, generator(2)))
    expected = logits_of_drawn_weights(belief, image)
    spread = expected.std(0)
    assert ((logits.mean(0) - expected.mean(0)).abs() < 0.03 * spread).all()  # four standard errors
    scale = spread[:, None] * spread
    torch.testing.assert_close(logits.T.cov() / scale, expected.T.cov() / scale, rtol=0, atol=0.05)
    # skewness, which an extra or a missing ReLU changes
    thirds = [(((z - z.mean(0)) / spread) ** 3).mean(0) for z in (logits, expected)]
    torch.testing.assert_close(*thirds, rtol=0, atol=0.3)


def test_one_layers_mean_and_variance_are_known(image):
    network = MeanFieldMLP((4, 3))
    theta = torch.randn(network.size, generator=generator(0, "belief"))
    (weight, bias), (log_weight, log_bias) = (MLP((4, 3)).layers(half)[0] for half in theta.chunk(2))
    logits = network.logits(theta, image.expand(DRAWS, 4), network.noise(DRAWS, generator(2)))
    variance = (image**2 * log_weight.exp()).sum(1) + log_bias.exp()
    assert ((logits.mean(0) - weight @ image[0] - bias).abs() < 4 * (variance / DRAWS).sqrt()).all()
    torch.testing.assert_close(logits.var(0), variance, rtol=0.03, atol=0)


def test_without_variance_or_without_noise_the_mean_field_is_its_means(belief, image):
    means, _ = belief.chunk(2)
    expected, network = MLP(SIZES).logits(means, image), MeanFieldMLP(SIZES)
    certain = torch.cat([means, torch.full_like(means, -60)])
    torch.testing.assert_close(network.logits(certain, image, network.noise(1, generator(1))), expected)
    torch.testing.assert_close(network.predict(certain, image), expected.softmax(1))
    torch.testing.assert_close(network.logits(belief, image), expected)
    assert not torch.allclose(network.logits(belief, image, network.noise(1, generator(1))), expected, atol=0.1)


def test_predictions_average_the_softmax_over_drawn_weights(belief, image):
    expected = logits_of_drawn_weights(belief, image).softmax(1).mean(0)
    network = MeanFieldMLP(SIZES, samples=DRAWS)
    predicted = network.predict(belief, image)[0]
    assert (predicted - expected).abs().max() < 0.008  # four standard errors
    assert (network.logits(belief, image).softmax(1) - expected).abs().max() > 0.03  # at the means


def test_a_prediction_is_that_of_the_same_networks_for_whatever_images(belief, image):
    network, others = MeanFieldMLP(SIZES), torch.rand(5, 4, generator=generator(0, "others"))
    first = network.predict(belief, image)
    torch.rand(7)  # whatever happens to the global generator
    torch.testing.assert_close(network.predict(belief, torch.cat([image, others]))[:1], first)
    one, two = (MeanFieldMLP(SIZES, samples=n).predict(belief, image) for n in (1, 2))
    second = 2 * two - one  # of the second network alone
    assert (one - second).abs().max() > 0.01


def test_bfloat16_draws_predict_as_those_of_float32(network, stream, monkeypatch):
    mean_field, (images, labels) = MeanFieldMLP(network.sizes), stream[0].test()
    theta = mean_field.lift(network.init(generator(0, "theta")))
    learners = [
        FastLearner(mean_field, VCL(), theta, stream[0], PROTOCOL, precision) for precision in ("float32", "bfloat16")
    ]
    exact, quick = (learner.accuracy(theta, stream[0]) for learner in learners)
    assert exact == accuracy(mean_field, theta, images, labels)
    assert abs(quick - exact) < 0.1
    seen = []
    monkeypatch.setattr(fast, "accuracy", lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    for learner in learners:
        learner.accuracy(theta, stream[0])
    assert seen == [False, True]


def test_the_mean_field_starts_from_the_maximum_likelihood_fit_to_the_first_task(network, stream):
    start = initial_theta(MeanFieldMLP(network.sizes), stream[0], PROTOCOL, 0, "cpu", Learner)
    means, log_variances = start.chunk(2)
    seen = []
    train_stream(network, NoSurrogate(), stream[:1], PROTOCOL, 0, "cpu", lambda _, learner, loss: seen.append(learner))
    assert torch.equal(means, seen[-1].theta)
    assert (log_variances == -6).all()


def test_the_fit_is_watched_and_timed(network, stream, monkeypatch):
    """Every step of the fit and of the training is in the record's time, and what the watch raises ends the fit."""
    watched = []
    train_stream(
        MeanFieldMLP(network.sizes), VCL(), stream[:1], PROTOCOL, 0, "cpu", lambda *given: watched.append(given)
    )
    steps = PROTOCOL.epochs * -(-stream[0].epoch_size // PROTOCOL.batch_size)
    seen = [learner is not None for _, learner, _ in watched]
    assert seen == [False] * steps + [True] * steps + [False, True], (
        "fit, steps, a look at the last one, the task's end"
    )
    assert all(loss > 0 for *_, loss in watched)

    clock, step = [0], Learner.step

    def slow_step(*given):
        clock[0] += 1
        return step(*given)

    monkeypatch.setattr("alasso.train.perf_counter", lambda: clock[0])
    monkeypatch.setattr(Learner, "step", slow_step)
    ((_, _, seconds),) = train_stream(MeanFieldMLP(network.sizes), VCL(), stream[:1], PROTOCOL, 0, "cpu", lambda *_: 0)
    assert seconds == 2 * steps

    def stop(place, learner, loss):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_stream(MeanFieldMLP(network.sizes), VCL(), stream[:1], PROTOCOL, 0, "cpu", stop)


def test_accuracy_of_a_mean_field_is_that_of_its_averaged_predictions():
    network = MeanFieldMLP((9, 8, 3))
    theta = torch.randn(network.size, generator=generator(0, "theta"))
    images = torch.randint(0, 256, (101, 9), generator=generator(0, "images"), dtype=torch.uint8)
    labels = network.predict(theta, pixels(images)).argmax(1)
    assert not torch.equal(labels, network.logits(theta, pixels(images)).argmax(1)), "at the means"
    assert accuracy(network, theta, images, labels) == 1
