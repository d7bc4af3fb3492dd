"""The autoencoder: shapes, closed forms, standardisation, the shipped pair on held-out digits."""

import pytest
import torch

from dit_lesson.autoencoder import Autoencoder, autoencoder_loss, kl_divergence, sample_latents
from dit_lesson.checkpoints import load_model, load_weights, read_card
from dit_lesson.data import load_digits, scale_digits


def build(downsample=4, **options):
    torch.manual_seed(0)
    return Autoencoder(downsample, **options)


def digits(split, count):
    images, _ = load_digits(split)
    return torch.from_numpy(scale_digits(images[:: len(images) // count], size=32))


@pytest.mark.parametrize(
    ("downsample", "shape"), [(2, (2, 16, 16)), (4, (4, 8, 8)), (8, (8, 4, 4))]
)
def test_one_argument_sets_the_latent_and_decoding_restores_the_size(downsample, shape):
    model, images = build(downsample), torch.randn(3, 1, 32, 32)
    mean, logvar = model.encode(images)
    assert mean.shape == logvar.shape == (3, *shape)
    assert model.decode(mean).shape == images.shape
    assert model.to_latents(images).shape == mean.shape
    assert (Autoencoder().downsample == downsample) == (downsample == 4)


def test_channels_width_and_non_square_images():
    model = build(4, latent_channels=6, width=8, in_channels=3)
    images = torch.randn(2, 3, 16, 24)
    assert model.encode(images)[0].shape == (2, 6, 4, 6)
    assert model.decode(model.encode(images)[0]).shape == images.shape


def test_sampled_latents_have_the_given_mean_and_spread():
    noise = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    mean, logvar = torch.full_like(noise, 2.0), torch.full_like(noise, 0.25).log()
    z = sample_latents(mean, logvar, noise)
    assert z.mean().item() == pytest.approx(2.0, abs=0.01)
    assert z.std().item() == pytest.approx(0.5, abs=0.01)
    torch.testing.assert_close(z, 2 + 0.5 * noise)


def test_kl_agrees_with_torch_and_is_zero_for_the_standard_normal():
    mean, logvar = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    ours = torch.distributions.Normal(mean, (logvar / 2).exp())
    theirs = torch.distributions.kl_divergence(ours, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(kl_divergence(mean, logvar), theirs.sum(dim=(1, 2, 3)))
    assert kl_divergence(torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4)).item() == 0.0


def test_loss_adds_its_three_terms():
    model, images = build(), torch.randn(2, 1, 32, 32)
    noise = torch.randn(2, 4, 8, 8)
    reconstruction, mean, logvar = model(images, noise)
    error = reconstruction - images
    plain = (error**2).mean() + 0.2 * error.abs().mean()
    torch.testing.assert_close(autoencoder_loss(model, images, noise, kl_weight=0.0), plain)
    with_kl = autoencoder_loss(model, images, noise, kl_weight=1.0)
    torch.testing.assert_close(with_kl - plain, kl_divergence(mean, logvar).mean() / 1024)


def test_measured_latents_are_standard_per_channel_and_the_way_back_is_exact():
    model, images = build(), digits("train", 400)
    model.measure_latents(images)
    noise = torch.randn(400, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    latents = model.to_latents(images, noise)
    torch.testing.assert_close(latents.mean(dim=(0, 2, 3)), torch.zeros(4), atol=0.03, rtol=0)
    torch.testing.assert_close(latents.std(dim=(0, 2, 3)), torch.ones(4), atol=0.03, rtol=0)
    direct = model.decode(model.encode(images)[0])
    torch.testing.assert_close(
        model.from_latents(model.to_latents(images)), direct, atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize(
    "name", ["autoencoder-8x8x4", "autoencoder-4x4x8", "autoencoder-4x4x8-decoder"]
)
def test_shipped_autoencoder_reconstructs_held_out_digits_as_its_card_says(name):
    card = read_card(name)
    model = Autoencoder(**card["arguments"])
    model.load_state_dict(load_weights(name))
    images, _ = load_digits("test")
    images = torch.from_numpy(scale_digits(images, size=32))
    mse = ((model.from_latents(model.to_latents(images)) - images) ** 2).mean().item()
    assert mse == pytest.approx(card["metrics"]["test_mse"], rel=0.01)
    # the mean image as the answer to everything scores about 0.4
    blank = ((images.mean(dim=0) - images) ** 2).mean().item()
    assert mse < 0.02 < blank / 10


def test_the_decoder_that_was_trained_on_has_the_same_latents_and_errs_less():
    first, second = load_model("autoencoder-4x4x8"), load_model("autoencoder-4x4x8-decoder")
    images = digits("test", 100)
    latents = first.to_latents(images)
    torch.testing.assert_close(second.to_latents(images), latents, rtol=0, atol=0)
    before, after = (
        (model.from_latents(latents) - images).square().mean() for model in (first, second)
    )
    assert after < 0.9 * before


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: Autoencoder(3), "Autoencoder: downsample is 3, expected a power of 2"),
        (lambda: Autoencoder(1), "Autoencoder: downsample is 1, expected a power of 2"),
        (lambda: Autoencoder(4.0), "Autoencoder: downsample is 4.0"),
        (lambda: Autoencoder(4, latent_channels=0), "Autoencoder: latent_channels is 0"),
        (lambda: Autoencoder(4, width=0), "Autoencoder: width is 0"),
        (lambda: build().encode(torch.zeros(1, 32, 32)), r"encode: images has shape \(1, 32, 32\)"),
        (lambda: build().encode(torch.zeros(1, 3, 32, 32)), r"expected \(B, 1, H, W\)"),
        (
            lambda: build().encode(torch.zeros(1, 1, 32, 30)),
            "width 30 is not a multiple of downsample 4",
        ),
        (lambda: build().decode(torch.zeros(1, 8, 4, 4)), r"expected \(B, 4, h, w\)"),
        (
            lambda: sample_latents(torch.zeros(2), torch.zeros(2), torch.zeros(3)),
            r"sample_latents: noise has shape \(3,\)",
        ),
        (
            lambda: kl_divergence(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 3)),
            "kl_divergence: logvar has shape",
        ),
        (lambda: kl_divergence(torch.zeros(2), torch.zeros(2)), "kl_divergence: mean has shape"),
        (lambda: build().measure_latents(torch.zeros(0, 1, 32, 32)), "images is empty"),
        (
            lambda: build().measure_latents(torch.full((1, 1, 32, 32), torch.nan)),
            "images holds NaN",
        ),
        (lambda: autoencoder_loss(build(), None, None, kl_weight=-1), "kl_weight is -1"),
    ],
)
def test_wrong_input_gets_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
