import itertools

import pytest
import torch
from torch import nn

from coursekit.networks import (
    VAE,
    Autoencoder,
    ConvClassifier,
    ConvDecoder,
    ConvEncoder,
    MLPClassifier,
    MLPDecoder,
    MLPEncoder,
    build_autoencoder,
    build_classifier,
    build_vae,
    mlp,
)

ARCHITECTURES = ("mlp", "conv")
SHAPES = ((1, 28, 28), (3, 8, 20))
SMALL = {"hidden": (6, 5), "channels": (3, 4)}


def networks(image_shape, architecture):
    """One of each model, with inputs for its forward."""
    torch.manual_seed(0)
    x, eps = torch.rand(4, *image_shape), torch.randn(4, 2)
    yield build_autoencoder(image_shape, 2, architecture=architecture, **SMALL), (x,)
    yield build_vae(image_shape, 2, architecture=architecture, **SMALL), (x, eps)
    yield build_classifier(image_shape, 7, architecture=architecture, **SMALL), (x,)


def outputs_of(network, inputs):
    outputs = network(*inputs)
    return outputs if isinstance(outputs, tuple) else (outputs,)


@pytest.mark.parametrize(("image_shape", "architecture"), list(itertools.product(SHAPES, ARCHITECTURES)))
def test_shapes_go_in_and_come_out(image_shape, architecture):
    autoencoder, vae, classifier = (outputs_of(*case) for case in networks(image_shape, architecture))
    assert [tuple(t.shape) for t in autoencoder] == [(4, *image_shape), (4, 2)]
    assert [tuple(t.shape) for t in vae] == [(4, *image_shape), (4, 2), (4, 2)]
    assert [tuple(t.shape) for t in classifier] == [(4, 7)]


@pytest.mark.parametrize(("image_shape", "architecture"), list(itertools.product(SHAPES, ARCHITECTURES)))
def test_every_parameter_gets_a_gradient_from_forward(image_shape, architecture):
    for network, inputs in networks(image_shape, architecture):
        sum(output.square().sum() for output in outputs_of(network, inputs)).backward()
        assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_networks_trace_into_one_graph(architecture):
    for network, inputs in networks((1, 28, 28), architecture):
        traced = torch.export.export(network, inputs).module()
        torch.testing.assert_close(outputs_of(traced, inputs), outputs_of(network, inputs))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_samples_do_not_depend_on_their_batch(architecture):
    for network, inputs in networks((1, 28, 28), architecture):
        whole = outputs_of(network, inputs)
        alone = outputs_of(network, tuple(tensor[1:2] for tensor in inputs))
        torch.testing.assert_close(tuple(output[1:2] for output in whole), alone)


def test_mlp_puts_activations_between_layers_only():
    assert [type(module) for module in mlp([3, 4, 5, 2], nn.Tanh)] == [
        nn.Linear,
        nn.Tanh,
        nn.Linear,
        nn.Tanh,
        nn.Linear,
    ]


def test_autoencoder_without_hidden_layers_is_affine():
    network = build_autoencoder((1, 4, 4), 3, hidden=()).double()
    a, b = torch.rand(2, 1, 1, 4, 4, dtype=torch.float64)
    middle = network((a + b) / 2)[0]
    torch.testing.assert_close(middle, (network(a)[0] + network(b)[0]) / 2)


def test_mlp_decoder_mirrors_the_encoder():
    network = build_autoencoder((1, 4, 4), 3, hidden=(8, 5))
    encoder, decoder = (
        [(layer.in_features, layer.out_features) for layer in half.modules() if isinstance(layer, nn.Linear)]
        for half in (network.encoder, network.decoder)
    )
    assert encoder == [(16, 8), (8, 5), (5, 3)]
    assert decoder == [(3, 5), (5, 8), (8, 16)]


@pytest.mark.parametrize(
    ("activation", "low", "high"), [("sigmoid", 0, 1), ("relu", 0, float("inf")), ("identity", -float("inf"), 0)]
)
def test_code_activation_bounds_the_code(activation, low, high):
    encoder = MLPEncoder((1, 2, 2), (), 3)
    nn.init.constant_(encoder.net[0].bias, -5.0)
    network = Autoencoder(encoder, MLPDecoder(3, (), (1, 2, 2)), activation)
    code = network.encode(torch.rand(2, 1, 2, 2))
    assert ((code >= low) & (code <= high)).all()
    assert (code == 0).all() == (activation == "relu")


def test_autoencoder_forward_decodes_the_code():
    network = build_autoencoder((1, 4, 4), 3, hidden=(5,))
    logits, code = network(torch.rand(2, 1, 4, 4))
    torch.testing.assert_close(logits, network.decode(code))


def test_code_mask_drops_units_on_their_way_to_the_decoder_only():
    network = build_autoencoder((1, 4, 4), 3, hidden=(5,))
    x, mask = torch.rand(2, 1, 4, 4), torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    logits, code = network(x, mask)
    torch.testing.assert_close(code, network.encode(x))
    torch.testing.assert_close(logits, network.decode(code * mask))


def test_vae_draws_no_noise_of_its_own():
    network = build_vae((1, 4, 4), 2, hidden=(5,))
    x, eps = torch.rand(3, 1, 4, 4), torch.randn(3, 2)
    state = torch.get_rng_state()
    torch.testing.assert_close(network(x, eps), network(x, eps), rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)


def test_vae_decodes_mu_plus_sigma_eps():
    network = build_vae((1, 4, 4), 2, hidden=(5,))
    x, eps = torch.rand(3, 1, 4, 4), torch.randn(3, 2)
    logits, mu, log_var = network(x, eps)
    torch.testing.assert_close((mu, log_var), network.encode(x))
    torch.testing.assert_close(logits, network.decode(mu + log_var.exp().sqrt() * eps))


def test_vae_reads_mu_and_then_log_var_from_the_encoder():
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(4, 6))
    nn.init.zeros_(encoder[1].weight)
    encoder[1].bias.data = torch.arange(6.0)
    mu, log_var = VAE(encoder, MLPDecoder(3, (), (1, 2, 2))).encode(torch.rand(1, 1, 2, 2))
    assert mu.tolist() == [[0.0, 1.0, 2.0]]
    assert log_var.tolist() == [[3.0, 4.0, 5.0]]


@pytest.mark.parametrize(
    "build",
    [
        lambda: ConvEncoder((1, 28, 28), (4, 8, 16), 2),
        lambda: ConvDecoder(2, (4, 8), (1, 28, 30)),
        lambda: ConvClassifier((1, 7, 8), 10, (4,)),
    ],
)
def test_images_that_do_not_halve_are_refused_with_a_way_out(build):
    with pytest.raises(ValueError, match=r"must divide by \d.*'mlp'"):
        build()


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: MLPEncoder((28, 28), (4,), 2), "image_shape"),
        (lambda: MLPEncoder((1, 0, 28), (4,), 2), "image_shape"),
        (lambda: MLPEncoder((1, 4, 4), (4.5,), 2), "sizes"),
        (lambda: MLPDecoder(0, (4,), (1, 4, 4)), "sizes"),
        (lambda: MLPClassifier((1, 4, 4), 0, ()), "sizes"),
        (lambda: ConvEncoder((1, 4, 4), (), 2), "channels"),
        (lambda: ConvEncoder((1, 4, 4), (0,), 2), "channels"),
        (lambda: ConvDecoder(True, (4,), (1, 4, 4)), "latent_dim"),
        (lambda: mlp([3]), "sizes"),
        (lambda: build_vae((1, 4, 4), 2.5), "latent_dim"),
        (lambda: build_autoencoder((1, 4, 4), 2, code_activation="tanh"), "code_activation"),
        (lambda: build_autoencoder((1, 4, 4), 2, architecture="resnet"), "architecture"),
        (lambda: build_vae((1, 4, 4), 2, architecture="resnet"), "architecture"),
        (lambda: build_classifier((1, 4, 4), 2, architecture="resnet"), "architecture"),
        (lambda: Autoencoder(MLPEncoder((1, 4, 4), (), 3), MLPDecoder(2, (), (1, 4, 4))), "3 features"),
        (lambda: VAE(MLPEncoder((1, 4, 4), (), 2), MLPDecoder(2, (), (1, 4, 4))), "mu and log_var"),
    ],
)
def test_what_does_not_fit_is_named(build, named):
    with pytest.raises(ValueError, match=named):
        build()


def test_users_may_bring_any_module():
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, 4))
    decoder = nn.Sequential(nn.Linear(2, 16), nn.Unflatten(1, (1, 4, 4)))
    logits, mu, _ = VAE(encoder, decoder)(torch.rand(3, 1, 4, 4), torch.randn(3, 2))
    assert (logits.shape, mu.shape) == ((3, 1, 4, 4), (3, 2))
    logits, code = Autoencoder(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), decoder)(torch.rand(3, 1, 4, 4))
    assert (logits.shape, code.shape) == ((3, 1, 4, 4), (3, 2))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_compiled_networks_equal_plain_ones(architecture):
    for network, inputs in networks((1, 28, 28), architecture):
        compiled = torch.compile(network, fullgraph=True)
        torch.testing.assert_close(outputs_of(compiled, inputs), outputs_of(network, inputs))
