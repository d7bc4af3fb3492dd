r"""A small convolutional variational autoencoder (VAE): images to latents and back.

The diffusion transformer of the book never sees pixels. It works on the latents that this
module makes: 32 x 32 x 1 becomes 8 x 8 x 4 (``downsample=4``) or 4 x 4 x 8 (``downsample=8``).
The autoencoder of Stable Diffusion does the same with 256 x 256 x 3 to 32 x 32 x 4.
"""

import torch
from torch import Tensor, nn

from dit_lesson.validation import divides, numbers, positive, require, shapes


class Autoencoder(nn.Module):
    r"""$q(z|x) = \mathcal N(\mu(x), \sigma^2(x))$ by the encoder, $\hat x = D(z)$ by the decoder.

    Each halving is a convolution of stride 2, each doubling a convolution whose channels are
    shuffled into space. The coarsest grid is twice as wide as the rest.

    Args:
        downsample: the factor per side, a power of 2.
        latent_channels: C, by default ``downsample``: a coarser grid has more channels.
        width: of the convolutions, by default ``4 * downsample``.
        in_channels: of the images.
    Shapes: images (B, in_channels, H, W) with pixels in [-1, 1], H and W multiples of
    ``downsample``; latents (B, C, H / downsample, W / downsample).
    Raises: ValueError if downsample is no power of 2, or if shapes do not fit.
    Source: Kingma and Welling 2014; Rombach et al. 2022 (LDM), section 3.1.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(
        self,
        downsample: int = 4,
        latent_channels: int | None = None,
        width: int | None = None,
        in_channels: int = 1,
    ) -> None:
        super().__init__()
        positive("Autoencoder", downsample=downsample)
        require(
            downsample >= 2 and downsample & (downsample - 1) == 0,
            f"Autoencoder: downsample is {downsample}, expected a power of 2 (2, 4, 8, ...)",
        )
        latent_channels = downsample if latent_channels is None else latent_channels
        width = 4 * downsample if width is None else width
        positive(
            "Autoencoder", latent_channels=latent_channels, width=width, in_channels=in_channels
        )
        self.downsample, self.in_channels = downsample, in_channels
        self.latent_channels = latent_channels

        halvings = downsample.bit_length() - 1
        widths = [width] * (halvings - 1) + [2 * width]
        layers: list[nn.Module] = []
        for before, after in zip([in_channels, *widths], widths, strict=False):
            layers += [conv(before, after, stride=2), nn.SiLU()]
        self.encoder = nn.Sequential(*layers, conv(2 * width, 2 * latent_channels))

        layers = [conv(latent_channels, 2 * width)]
        for before, after in zip(widths[::-1], [*widths[-2::-1], in_channels], strict=True):
            layers += [nn.SiLU(), conv(before, 4 * after), nn.PixelShuffle(2)]
        self.decoder = nn.Sequential(*layers)

        self.register_buffer("latent_mean", torch.zeros(latent_channels))
        self.register_buffer("latent_std", torch.ones(latent_channels))

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        r"""$\mu(x)$ and $\log\sigma^2(x)$, both of the latent's shape."""
        sizes = shapes("Autoencoder.encode", images=(images, f"B {self.in_channels} H W"))
        divides(
            "Autoencoder.encode", downsample=self.downsample, height=sizes["H"], width=sizes["W"]
        )
        mean, logvar = self.encoder(images).chunk(2, dim=1)
        return mean, logvar

    def decode(self, latents: Tensor) -> Tensor:
        r"""$\hat x = D(z)$ for latents as ``encode`` gives them (not standardised)."""
        shapes("Autoencoder.decode", latents=(latents, f"B {self.latent_channels} h w"))
        return self.decoder(latents)

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction from a sampled latent, with the mean and log-variance it came from."""
        mean, logvar = self.encode(images)
        return self.decode(sample_latents(mean, logvar, noise)), mean, logvar

    @torch.no_grad()
    def measure_latents(self, images: Tensor) -> None:
        """Set ``latent_mean`` and ``latent_std``, per channel, from the latents of images.

        Stable Diffusion keeps one number for all channels instead, 0.18215 = 1 / std.
        Source: Rombach et al. 2022, section 4.3.2 and appendix G.
        """
        shapes("Autoencoder.measure_latents", images=(images, "B C H W"))
        numbers("Autoencoder.measure_latents", images=images)
        mean, logvar = self.encode(images)
        within = logvar.exp().mean(dim=(0, 2, 3))
        self.latent_mean.copy_(mean.mean(dim=(0, 2, 3)))
        self.latent_std.copy_((mean.var(dim=(0, 2, 3)) + within).sqrt())

    @torch.no_grad()
    def to_latents(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        r"""$(z - m_c) / s_c$ per channel c: what a diffusion model is trained on.

        z is the mean of the posterior, or with ``noise`` (of the latent's shape) a sample of it.
        Over the images of ``measure_latents`` a sample has mean 0 and variance 1 per channel.
        """
        mean, logvar = self.encode(images)
        z = mean if noise is None else sample_latents(mean, logvar, noise)
        return (z - self.latent_mean[:, None, None]) / self.latent_std[:, None, None]

    @torch.no_grad()
    def from_latents(self, latents: Tensor) -> Tensor:
        r"""$D(s_c z + m_c)$: the images of standardised latents, ``to_latents`` undone."""
        return self.decode(
            latents * self.latent_std[:, None, None] + self.latent_mean[:, None, None]
        )


def conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """A 3 x 3 convolution that keeps (or, with stride 2, halves) height and width."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1)


def sample_latents(mean: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
    r"""$z = \mu + \sigma\,\epsilon$ with $\sigma = e^{\log\sigma^2 / 2}$.

    Args:
        mean: of any shape.
        logvar: log sigma^2, of the shape of mean.
        noise: N(0, 1), of the shape of mean.
    Source: Kingma and Welling 2014, section 2.4.
    """
    shapes("sample_latents", mean=(mean, "..."), logvar=(logvar, "..."), noise=(noise, "..."))
    return mean + (logvar / 2).exp() * noise


def kl_divergence(mean: Tensor, logvar: Tensor) -> Tensor:
    r"""$\tfrac12\sum(\mu^2 + \sigma^2 - 1 - \log\sigma^2)$, in nats per image.

    How far $q(z|x)$ is from $\mathcal N(0, 1)$: 0 when they are equal.

    Args:
        mean: (B, C, h, w).
        logvar: log sigma^2, (B, C, h, w).
    Returns: (B,).
    Source: Kingma and Welling 2014, appendix B.
    """
    shapes("kl_divergence", mean=(mean, "B C h w"), logvar=(logvar, "B C h w"))
    return 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum(dim=(1, 2, 3))


def autoencoder_loss(
    model: Autoencoder, images: Tensor, noise: Tensor, kl_weight: float = 1e-3
) -> Tensor:
    r"""$\overline{(x-\hat x)^2} + 0.2\,\overline{|x-\hat x|} + \lambda\,\mathrm{KL}/\text{pixels}$.

    The absolute error keeps strokes sharp; the divergence keeps latents near N(0, 1).

    Args:
        model: which gives the reconstruction, mean and logvar.
        images: (B, C, H, W).
        noise: N(0, 1), of the latent's shape.
        kl_weight: lambda, at least 0.
    Returns: a scalar, averaged over the batch.
    Source: Rombach et al. 2022, section 3.1 (there with a perceptual and an adversarial term).
    """
    require(kl_weight >= 0, f"autoencoder_loss: kl_weight is {kl_weight}, expected at least 0")
    reconstruction, mean, logvar = model(images, noise)
    error = reconstruction - images
    kl = kl_divergence(mean, logvar).mean() / images[0].numel()
    return (error**2).mean() + 0.2 * error.abs().mean() + kl_weight * kl
