r"""How good are painted digits? A judge that never painted, and three questions to ask of it.

* Does it read the class that was asked for (`accuracy`)?
* Are the painted digits spread as real ones are (`frechet_distance`), beside how far apart two
  sets of real digits are (`floor`)?
* Are they copies of training digits (`share_of_copies`)?

`loss_by_t` asks a fourth question of the network itself: at which noise does it err?
"""

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor, nn

from dit_lesson.checkpoints import load_model
from dit_lesson.data import load_digits, scale_digits
from dit_lesson.validation import numbers, positive, require, shapes


class Judge(nn.Module):
    r"""$\mathrm{head}(f(x))$: a small convolutional classifier with the features f of a digit.

    Args:
        width: channels of the first convolution.
        feature_size: the length of f(x).
        num_classes: the length of the answer.
    forward(images): (B, 1, 32, 32), pixels in [-1, 1] -> logits (B, num_classes).
    Raises: ValueError if a size or the shape of the images does not fit.
    Source: the role of the Inception network in Heusel et al. 2017, section 1.
    """

    def __init__(self, width: int = 16, feature_size: int = 64, num_classes: int = 10) -> None:
        super().__init__()
        positive("Judge", width=width, feature_size=feature_size, num_classes=num_classes)
        self.body = nn.Sequential(
            *_convolution(1, width, kernel_size=5, stride=2),  # 16 x 16
            *_convolution(width, 2 * width),
            *_convolution(2 * width, 4 * width, stride=2),  # 8 x 8
            *_convolution(4 * width, 4 * width, stride=2),  # 4 x 4
            nn.Flatten(),
            nn.Linear(4 * 4 * 4 * width, feature_size),
            nn.ReLU(),
        )
        self.head = nn.Linear(feature_size, num_classes)

    def features(self, images: Tensor) -> Tensor:
        """What the last layer reads, (B, feature_size)."""
        shapes("Judge", images=(images, "B 1 32 32"))
        return self.body(images)

    def forward(self, images: Tensor) -> Tensor:
        """One logit per class."""
        return self.head(self.features(images))


@cache
def judge() -> Judge:
    """The judge that ships with the package, in eval mode and frozen.

    It saw 3,600 of the 4,000 training digits; the other 400 and the test digits are new to it.
    Its card says how many of them it names rightly.
    """
    return load_model("judge").requires_grad_(False)


def judge_features(images: Tensor) -> Tensor:
    """f(x) of the shipped judge, (B, 64).

    Args:
        images: (B, 1, 32, 32), pixels in [-1, 1], as `Autoencoder.from_latents` gives them.
    """
    return _in_pieces(judge().features, images)


@cache
def real_features(split: str) -> Tensor:
    """`judge_features` of the real digits of a split, "train" (4000, 64) or "test" (1000, 64)."""
    images, _ = load_digits(split)
    return judge_features(torch.from_numpy(scale_digits(images, size=32)))


def accuracy(images: Tensor, labels: Tensor) -> float:
    r"""$\frac1B \sum_b [\arg\max_k \mathrm{judge}(x_b)_k = y_b]$: the share read as asked.

    Args:
        images: (B, 1, 32, 32), pixels in [-1, 1].
        labels: (B,), the classes asked for.
    Raises: ValueError if the shapes do not fit, or images are not finite.
    """
    _require_images("accuracy", images)
    require(
        labels.shape == images.shape[:1],
        f"accuracy: labels has shape {tuple(labels.shape)}, expected one for each of the "
        f"{len(images)} images",
    )
    return (_in_pieces(judge(), images).argmax(dim=1) == labels).double().mean().item()


def frechet_distance(features: Tensor, reference: Tensor) -> float:
    r"""$\lVert\mu-\mu'\rVert^2 + \mathrm{tr}(\Sigma+\Sigma'-2(\Sigma\Sigma')^{1/2})$, no unit.

    How far apart two sets of points are, each taken as the Gaussian of its mean and covariance;
    0 for equal Gaussians. It falls with the number of points, so compare at one number only, and
    beside `floor`. In the features of the Inception network it is called FID.

    Args:
        features: (n, D), for example of `judge_features`; n >= 2.
        reference: (m, D); m >= 2.
    Raises: ValueError if a set is too small, not finite, or the widths differ.
    Source: Heusel et al. 2017, equation 6.
    """
    for name, value in (("features", features), ("reference", reference)):
        shapes("frechet_distance", **{name: (value, "n D")})
        numbers("frechet_distance", **{name: value})
        require(
            len(value) >= 2, f"frechet_distance: {name} has 1 row, expected at least 2 to spread"
        )
    require(
        features.shape[1] == reference.shape[1],
        f"frechet_distance: features has width {features.shape[1]} and reference "
        f"{reference.shape[1]}, expected one width",
    )
    features, reference = features.double(), reference.double()
    # for one feature `cov` gives a number, here it is a matrix too
    covariance, other = (torch.atleast_2d(points.T.cov()) for points in (features, reference))
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T  # of covariance
    # S S' has the eigenvalues of root S' root, which is symmetric
    cross = torch.linalg.eigvalsh(root @ other @ root).clamp(min=0).sqrt().sum()
    shift = (features.mean(dim=0) - reference.mean(dim=0)).square().sum()
    return max(0.0, (shift + covariance.trace() + other.trace() - 2 * cross).item())


def floor(n: int = 1000, draws: int = 10) -> tuple[float, float]:
    """The Fréchet distance of n real training digits to the test digits: mean and deviation.

    What a perfect painter would score, as far as n digits can show it.

    Args:
        n: digits in a draw, 2 to 4,000.
        draws: at least 2.
    Returns: the mean over the draws, and their standard deviation.
    """
    positive("floor", n=n, draws=draws)
    for name, value in (("n", n), ("draws", draws)):
        require(value >= 2, f"floor: {name} is 1, expected at least 2")
    train, test = real_features("train"), real_features("test")
    require(n <= len(train), f"floor: n is {n}, expected at most the {len(train)} training digits")
    generator = torch.Generator().manual_seed(0)
    orders = (torch.randperm(len(train), generator=generator) for _ in range(draws))
    distances = torch.tensor([frechet_distance(train[order[:n]], test) for order in orders])
    return distances.mean().item(), distances.std().item()


def nearest(images: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
    r"""$\min_j \lVert x_i - r_j \rVert$ over all pixels, and the j where it is reached.

    Args:
        images: (n, ...).
        references: (m, ...), of the same shape but for their number.
    Returns: distances (n,) in units of a pixel, indices (n,).
    Raises: ValueError if the shapes differ, or a number is not finite.
    """
    shapes("nearest", images=(images, "n ..."))
    shapes("nearest", references=(references, "m ..."))
    numbers("nearest", images=images, references=references)
    require(
        images.shape[1:] == references.shape[1:],
        f"nearest: references has shape {tuple(references.shape)}, expected (m, "
        f"{', '.join(map(str, images.shape[1:]))}) as images",
    )
    return tuple(torch.cdist(images.flatten(1), references.flatten(1)).min(dim=1))


def share_of_copies(
    images: Tensor, train: Tensor, held_out: Tensor, false_alarms: float = 0.01
) -> float:
    r"""$\frac1n \sum_i [d(x_i) < q]$, d the distance to the `nearest` training digit.

    q is the distance below which a share ``false_alarms`` of digits lies that cannot be copies.
    A painter who does not copy scores about ``false_alarms``, one who does scores 1.

    Give train and held_out through the decoder that painted the images: a blurred digit is nearer
    to everything.

    Args:
        images: (n, ...), painted.
        train: (m, ...), all that was trained on.
        held_out: (k, ...), real digits that were not.
        false_alarms: the share of unseen digits below q, between 0 and 1.
    Raises: ValueError if the shapes differ, or false_alarms is not between 0 and 1.
    """
    require(
        0 < false_alarms < 1,
        f"share_of_copies: false_alarms is {false_alarms}, expected a number between 0 and 1",
    )
    unseen, _ = nearest(held_out, train)
    distances, _ = nearest(images, train)
    return (distances < unseen.quantile(false_alarms)).double().mean().item()


@torch.no_grad()
def loss_by_t(
    loss: Callable[[Tensor, Tensor, Tensor], Tensor],
    x0: Tensor,
    times: Sequence[float] | Sequence[int],
    draws: int = 4,
) -> list[float]:
    r"""$L(t) = \mathbb E_{x_0, \epsilon}\,\ell(x_0, t, \epsilon)$ for each t.

    Every t and every model sees the same noise, so that differences are not noise.

    Args:
        loss: called as ``loss(x0, t, noise)`` with t (B,) of the dtype of times; gives a scalar.
        x0: (B, ...) data.
        times: the t at which to measure.
        draws: of noise for each time.
    Returns: one number for each of times.
    Raises: ValueError if times is empty or draws is no whole number of at least 1.
    """
    shapes("loss_by_t", x0=(x0, "B ..."))
    numbers("loss_by_t", x0=x0)
    positive("loss_by_t", draws=draws)
    require(len(times) > 0, "loss_by_t: times is empty, expected at least one time")
    generator = torch.Generator().manual_seed(0)
    noises = [torch.randn(x0.shape, generator=generator) for _ in range(draws)]
    return [
        sum(loss(x0, torch.full((len(x0),), t), noise).item() for noise in noises) / draws
        for t in times
    ]


def _convolution(
    in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1
) -> tuple[nn.Module, ...]:
    """A convolution, batch norm (which holds the bias) and ReLU."""
    return (
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


@torch.no_grad()
def _in_pieces(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """``function`` of all images, a piece at a time: thousands of feature maps need much memory."""
    _require_images("judge", images)
    return torch.cat([function(piece) for piece in images.split(500)])


def _require_images(function: str, images: Tensor) -> None:
    shapes(function, images=(images, "B 1 32 32"))
    numbers(function, images=images)
