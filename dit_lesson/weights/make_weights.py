"""`make train`: train again everything in this folder. About twenty-five minutes on one core.

python -m dit_lesson.weights.make_weights             everything
python -m dit_lesson.weights.make_weights autoencoder-8x8x4   one part
"""

import json
import sys
import time
from importlib.metadata import version
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from dit_lesson.autoencoder import Autoencoder, autoencoder_loss, kl_divergence
from dit_lesson.data import CAPTION_WORDS, describe_digits, load_digits, scale_digits
from dit_lesson.diffusion import alpha_bar, epsilon_loss, linear_betas
from dit_lesson.embeddings import CaptionEncoder
from dit_lesson.models import DESIGNS, DiT, DiTConfig, ViT
from dit_lesson.training import WEIGHTS, load_weights, save_weights, shift_images, train

COMMAND = "make train"
THREADS = 1
SEED = 0
VIT = {"patch_size": 7, "hidden_size": 48, "depth": 4, "num_heads": 4}
VIT_TRAINING = {"batch_size": 32, "learning_rate": 3e-3, "weight_decay": 0.05}


def digits(split: str, size: int) -> tuple[Tensor, Tensor]:
    """Images (n, 1, size, size) in [-1, 1] and labels (n,)."""
    images, labels = load_digits(split)
    return torch.from_numpy(scale_digits(images, size)), torch.from_numpy(labels)


AUTOENCODER_TRAINING = {"batch_size": 64, "learning_rate": 4e-3}


def train_autoencoder(
    seed: int, downsample: int, steps: int, kl_weight: float, sigma: float = 1
) -> Autoencoder:
    """An autoencoder trained on the training digits. At sigma = 0 its latents get no noise."""

    def loss(model: Autoencoder, batch: Tensor, generator: torch.Generator) -> Tensor:
        batch = shift_images(batch, 2, generator)
        side = 32 // downsample
        noise = torch.randn(len(batch), model.latent_channels, side, side, generator=generator)
        return autoencoder_loss(model, batch, sigma * noise, kl_weight)

    torch.manual_seed(seed)
    model = Autoencoder(downsample)
    train(model, loss, digits("train", 32)[:1], steps=steps, seed=seed, **AUTOENCODER_TRAINING)
    return model


def make_autoencoder(name: str, downsample: int, steps: int, kl_weight: float) -> None:
    """Train one autoencoder on the training digits; write weights and card."""
    images, _ = digits("train", 32)
    test_images, _ = digits("test", 32)
    start = time.process_time()
    model = train_autoencoder(SEED, downsample, steps, kl_weight)
    model.measure_latents(images)
    seconds = time.process_time() - start

    settings = {"steps": steps, **AUTOENCODER_TRAINING, "seed": SEED}
    card = {
        "arguments": {"downsample": downsample},
        "command": COMMAND,
        "threads": THREADS,
        "training": settings | {"kl_weight": kl_weight, "max_shift": 2},
        "cpu_seconds": round(seconds),
    }
    save_weights(model, name, card)
    model.load_state_dict(load_weights(name))  # measured as shipped, through float16
    with torch.no_grad():
        errors = {
            split: ((model.from_latents(model.to_latents(x)) - x) ** 2).mean().item()
            for split, x in (("train", images), ("test", test_images))
        }
        kl = kl_divergence(*model.encode(test_images)).mean().item()
    metrics = {
        "train_mse": round(errors["train"], 5),
        "test_mse": round(errors["test"], 5),
        "test_kl_nats": round(kl),
    }
    save_weights(model, name, card | {"metrics": metrics})
    print(f"{name}: {metrics}, {seconds:.0f} s")


@torch.no_grad()
def error_by_noise(model: Autoencoder, sizes: tuple[float, ...]) -> list[float]:
    """The error on test digits when noise of these sizes is added to the latents.

    A size is in units of the deviation that a channel has over the test digits.
    """
    images, _ = digits("test", 32)
    latents, _ = model.encode(images)
    deviation = latents.std(dim=(0, 2, 3), keepdim=True)
    generator = torch.Generator().manual_seed(SEED)
    errors = []
    for size in sizes:
        noise = size * deviation * torch.randn(latents.shape, generator=generator)
        errors.append(((model.decode(latents + noise) - images) ** 2).mean().item())
    return [round(error, 4) for error in errors]


def compare_autoencoders(name: str, steps: int, seeds: tuple[int, ...]) -> None:
    """With noise and its price, and with neither, several seeds each; a card without weights."""
    sizes = (0.0, 0.1, 0.3, 0.5, 1.0)
    images, _ = digits("test", 32)
    runs = []
    for sigma, kl_weight in ((1, 1e-3), (0, 0.0)):
        for seed in seeds:
            model = train_autoencoder(seed, 4, steps, kl_weight, sigma)
            with torch.no_grad():
                deviation = model.encode(images)[0].std(dim=(0, 2, 3))
            result = {
                "error_by_noise": error_by_noise(model, sizes),
                "deviation": [round(channel, 2) for channel in deviation.tolist()],
            }
            runs.append({"noise": bool(sigma), "kl_weight": kl_weight, "seed": seed} | result)
            print(f"{name}: {runs[-1]}", flush=True)
    card = {
        "arguments": {"downsample": 4},
        "command": COMMAND,
        "threads": THREADS,
        "training": AUTOENCODER_TRAINING | {"steps": steps, "max_shift": 2},
        "noise_sizes": sizes,
    }
    write_comparison(name, card, runs)


def train_vit(
    seed: int, steps: int, pool: str = "cls", positions: str = "sincos", sines: float | None = None
) -> ViT:
    """A ViT trained on the training digits.

    With `sines` its table of positions starts, or if it is fixed stays, at that multiple of the
    sine-cosine table.
    """

    def loss(model: ViT, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        return cross_entropy(model(shift_images(images, 2, generator)), labels)

    torch.manual_seed(seed)
    model = ViT(**VIT, pool=pool, positions=positions)
    if sines is not None:
        model.pos_embed.data.copy_(sines * ViT(**VIT, positions="sincos").pos_embed)
    train(model, loss, digits("train", 28), steps=steps, seed=seed, **VIT_TRAINING)
    return model


@torch.no_grad()
def accuracy(model: ViT) -> float:
    """The share of the 1,000 test digits that the model names rightly."""
    images, labels = digits("test", 28)
    return (model(images).argmax(dim=1) == labels).double().mean().item()


def vit_card(steps: int) -> dict[str, Any]:
    """What all cards about ViTs have in common."""
    return {
        "arguments": VIT,
        "command": COMMAND,
        "threads": THREADS,
        "training": VIT_TRAINING | {"steps": steps, "max_shift": 2},
    }


def make_vit(name: str, steps: int, seeds: tuple[int, ...]) -> None:
    """Train one ViT per seed; write the weights of the first and a card with all accuracies."""
    runs, first = [], None
    start = time.process_time()
    for seed in seeds:
        model = train_vit(seed, steps)
        first = first or model
        runs.append({"seed": seed, "test_accuracy": round(accuracy(model), 3)})
        print(f"{name}: {runs[-1]}", flush=True)
    card = vit_card(steps) | {
        "seed": seeds[0],
        "cpu_seconds": round((time.process_time() - start) / len(seeds)),
        "runs": runs,
    }
    save_weights(first, name, card)
    first.load_state_dict(load_weights(name))  # measured as shipped, through float16
    save_weights(first, name, card | {"metrics": {"test_accuracy": round(accuracy(first), 3)}})


def compare_vits(name: str, steps: int, seeds: tuple[int, ...]) -> None:
    """Pooling and positions, several seeds each, a short schedule; a card without weights."""
    options = (
        *(("cls", "sincos", None), ("mean", "sincos", None), ("cls", "learned", None)),
        *(("cls", "none", None), ("cls", "sincos", 0.1), ("cls", "learned", 1.0)),
    )
    runs = []
    for pool, positions, sines in options:
        for seed in seeds:
            model = train_vit(seed, steps, pool, positions, sines)
            result = {"seed": seed, "test_accuracy": round(accuracy(model), 3)}
            runs.append({"pool": pool, "positions": positions, "sines": sines} | result)
            print(f"{name}: {runs[-1]}", flush=True)
    write_comparison(name, vit_card(steps), runs)


def write_comparison(name: str, card: dict[str, Any], runs: list[dict[str, Any]]) -> None:
    """Write the card of a comparison, which has runs and no weights."""
    versions = {library: version(library) for library in ("torch", "numpy")}
    card = card | {"versions": versions, "runs": runs}
    (WEIGHTS / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n")


SMALL_DIT = {
    **{"input_size": 8, "patch_size": 2, "hidden_size": 40, "depth": 3, "num_heads": 4},
    **{"embedding_init": "unit", "learn_sigma": False},
}
CAPTION_DIT = SMALL_DIT | {"conditioning": "cross-attention"}
IN_CONTEXT_DIT = SMALL_DIT | {"conditioning": "in-context", "num_classes": 10}


def make_caption_dit(name: str, steps: int) -> None:
    """Train a DiT that reads captions on the training digits' latents; write weights and card."""
    torch.manual_seed(SEED)
    words = CaptionEncoder(CAPTION_WORDS, max_words=4, hidden_size=CAPTION_DIT["hidden_size"])
    model = DiT(DiTConfig(**CAPTION_DIT), y_embedder=words)
    captions = {
        split: words.encode(describe_digits(*load_digits(split))) for split in ("train", "test")
    }
    make_dit(name, model, CAPTION_DIT, captions, 0 * captions["test"], "caption", steps)


def make_in_context_dit(name: str, steps: int) -> None:
    """Train a DiT that has time and class among its tokens; write weights and card."""
    torch.manual_seed(SEED)
    model = DiT(DiTConfig(**IN_CONTEXT_DIT))
    labels = {split: digits(split, 32)[1] for split in ("train", "test")}
    null = torch.full_like(labels["test"], IN_CONTEXT_DIT["num_classes"])
    make_dit(name, model, IN_CONTEXT_DIT, labels, null, "class", steps)


def make_dit(
    name: str,
    model: DiT,
    arguments: dict[str, Any],
    told: dict[str, Tensor],
    null: Tensor,
    kind: str,
    steps: int,
) -> None:
    """Train a DiT on the digits' latents with what it is told; measure it with that and with null.

    `kind` says in the card what null leaves out.
    """
    autoencoder = Autoencoder(4)
    autoencoder.load_state_dict(load_weights("autoencoder-8x8x4"))
    data = {
        split: (autoencoder.to_latents(digits(split, 32)[0]), told[split])
        for split in ("train", "test")
    }
    kept = alpha_bar(linear_betas(1000))

    def loss(model: DiT, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        t = torch.randint(0, 1000, (len(x),), generator=generator)
        noise = torch.randn(x.shape, generator=generator)
        return epsilon_loss(lambda x, t: model(x, t, y, generator), x, t, noise, kept)

    settings = {"steps": steps, "batch_size": 64, "learning_rate": 4e-3, "seed": SEED}
    start = time.process_time()
    train(model, loss, data["train"], ema_decay=0.998, **settings)
    card = {
        "arguments": arguments,
        "command": COMMAND,
        "threads": THREADS,
        "training": settings | {"ema_decay": 0.998},
        "cpu_seconds": round(time.process_time() - start),
    }
    save_weights(model, name, card)
    model.load_state_dict(load_weights(name))  # measured as shipped, through float16
    latents, right = data["test"]
    with torch.no_grad():
        error = {
            key: loss(model, latents, y, torch.Generator().manual_seed(SEED)).item()
            for key, y in (("test_loss", right), (f"test_loss_no_{kind}", null))
        }
    metrics = {key: round(value, 3) for key, value in error.items()}
    save_weights(model, name, card | {"metrics": metrics})
    print(f"{name}: {metrics}, {card['cpu_seconds']} s")


RACE_DIT = {
    **{"input_size": 4, "patch_size": 1, "in_channels": 8, "hidden_size": 64, "depth": 4},
    **{"num_heads": 4, "num_classes": 10, "learn_sigma": False},
}


def compare_designs(name: str, steps: int, seeds: tuple[int, ...]) -> None:
    """The four designs, with both starts of the embeddings, several seeds each; no weights.

    A seed fixes the random start, the order of the data, the times and the noise of training.
    The held-out loss has the same times and the same noise for every run. The same model is also
    told no class, a wrong class, and wrong times. No class shows what the class is worth to it; a
    lie shows how much it relies on what it is told.
    """
    autoencoder = Autoencoder(8)
    autoencoder.load_state_dict(load_weights("autoencoder-4x4x8"))
    data = {}
    for split in ("train", "test"):
        images, labels = digits(split, 32)
        data[split] = autoencoder.to_latents(images).detach(), labels
    kept = alpha_bar(linear_betas(1000))

    def loss(model: DiT, x: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        t = torch.randint(0, 1000, (len(x),), generator=generator)
        noise = torch.randn(x.shape, generator=generator)
        return epsilon_loss(lambda x, t: model(x, t, labels, generator), x, t, noise, kept)

    @torch.no_grad()
    def held_out(model: DiT, told_instead: str = "") -> float:
        """The mean loss over four passes through the test digits, told the truth or not."""
        x, labels = data["test"]
        generator, lies = (torch.Generator().manual_seed(SEED + n) for n in range(2))
        losses = []
        for _ in range(4):
            t = torch.randint(0, 1000, (len(x),), generator=generator)
            noise = torch.randn(x.shape, generator=generator)
            wrong_class = (labels + torch.randint(1, 10, labels.shape, generator=lies)) % 10
            wrong_time = torch.randint(0, 1000, t.shape, generator=lies)
            no_class = torch.full_like(labels, RACE_DIT["num_classes"])
            y = {"no class": no_class, "wrong class": wrong_class}.get(told_instead, labels)
            told = wrong_time if told_instead == "wrong time" else t
            losses.append(
                epsilon_loss(lambda x, t, y=y, told=told: model(x, told, y), x, t, noise, kept)
            )
        return round(torch.stack(losses).mean().item(), 4)

    settings = {"steps": steps, "batch_size": 32, "learning_rate": 3e-3, "ema_decay": 0.99}
    runs = []
    for start, seed, design in product(("paper", "unit"), seeds, DESIGNS):
        torch.manual_seed(seed)
        model = DiT(DiTConfig(**RACE_DIT, conditioning=design, embedding_init=start))
        train(model, loss, data["train"], seed=seed, **settings)
        result = {
            "test_loss": held_out(model),
            "test_loss_no_class": held_out(model, "no class"),
            "test_loss_wrong_class": held_out(model, "wrong class"),
            "test_loss_wrong_time": held_out(model, "wrong time"),
        }
        runs.append({"start": start, "design": design, "seed": seed} | result)
        print(f"{name}: {runs[-1]}", flush=True)
    card = {
        "arguments": RACE_DIT,
        "command": COMMAND,
        "threads": THREADS,
        "training": settings,
    }
    write_comparison(name, card, runs)


PARTS = {
    "autoencoder-8x8x4": lambda name: make_autoencoder(name, 4, steps=1500, kl_weight=1e-3),
    "autoencoder-4x4x8": lambda name: make_autoencoder(name, 8, steps=1200, kl_weight=3e-4),
    "vit": lambda name: make_vit(name, steps=2500, seeds=(0, 1, 2)),
    "caption-dit": lambda name: make_caption_dit(name, steps=2200),
    "in-context-dit": lambda name: make_in_context_dit(name, steps=2200),
    "autoencoder-comparison": lambda name: compare_autoencoders(name, steps=1500, seeds=(0, 1, 2)),
    "vit-comparison": lambda name: compare_vits(name, steps=800, seeds=(0, 1, 2)),
    "design-comparison": lambda name: compare_designs(name, steps=500, seeds=(0, 1, 2)),
}

if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    began = time.perf_counter()
    for part in sys.argv[1:] or PARTS:
        PARTS[part](part)
    print(f"all trained in {time.perf_counter() - began:.0f} s")
