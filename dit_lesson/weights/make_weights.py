"""`make train`: train again everything in this folder. About ten minutes on one core.

python -m dit_lesson.weights.make_weights             everything
python -m dit_lesson.weights.make_weights autoencoder-8x8x4   one part
"""

import json
import sys
import time
from importlib.metadata import version

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from dit_lesson.autoencoder import Autoencoder, autoencoder_loss, kl_divergence
from dit_lesson.data import load_digits, scale_digits
from dit_lesson.models import ViT
from dit_lesson.training import WEIGHTS, load_weights, save_weights, shift_images, train

COMMAND = "make train"
THREADS = 1
SEED = 0


def digits(split: str, size: int) -> tuple[Tensor, Tensor]:
    """Images (n, 1, size, size) in [-1, 1] and labels (n,)."""
    images, labels = load_digits(split)
    return torch.from_numpy(scale_digits(images, size)), torch.from_numpy(labels)


def make_autoencoder(name: str, downsample: int, steps: int, kl_weight: float) -> None:
    """Train one autoencoder on the training digits; write weights and card."""
    images, _ = digits("train", 32)
    test_images, _ = digits("test", 32)
    torch.manual_seed(SEED)
    model = Autoencoder(downsample)

    def loss(model: Autoencoder, batch: Tensor, generator: torch.Generator) -> Tensor:
        batch = shift_images(batch, 2, generator)
        side = 32 // downsample
        noise = torch.randn(len(batch), model.latent_channels, side, side, generator=generator)
        return autoencoder_loss(model, batch, noise, kl_weight)

    settings = {"steps": steps, "batch_size": 64, "learning_rate": 4e-3, "seed": SEED}
    start = time.process_time()
    train(model, loss, (images,), **settings)
    model.measure_latents(images)
    seconds = time.process_time() - start

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


def classify(model: ViT, seed: int, steps: int) -> dict[str, float]:
    """Train a ViT on the training digits; its accuracy on the test digits and the seconds."""
    test_images, test_labels = digits("test", 28)

    def loss(model: ViT, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        return cross_entropy(model(shift_images(images, 2, generator)), labels)

    start = time.process_time()
    train(
        model, loss, digits("train", 28), steps=steps, batch_size=64, learning_rate=2e-3, seed=seed
    )
    seconds = time.process_time() - start
    with torch.no_grad():
        accuracy = (model(test_images).argmax(dim=1) == test_labels).double().mean().item()
    return {"seed": seed, "test_accuracy": round(accuracy, 3), "cpu_seconds": round(seconds)}


def compare_vits(name: str, steps: int, seeds: tuple[int, ...]) -> None:
    """Pooling and positions, several seeds each; writes a card without weights."""
    runs = []
    for pool, positions in (
        ("cls", "sincos"),
        ("mean", "sincos"),
        ("cls", "learned"),
        ("cls", "none"),
    ):
        for seed in seeds:
            torch.manual_seed(seed)
            model = ViT(**VIT, pool=pool, positions=positions)
            runs.append({"pool": pool, "positions": positions} | classify(model, seed, steps))
            print(f"{name}: {runs[-1]}")
    card = {
        "arguments": VIT,
        "command": COMMAND,
        "threads": THREADS,
        "training": {"steps": steps, "batch_size": 64, "learning_rate": 2e-3, "max_shift": 2},
        "versions": {library: version(library) for library in ("torch", "numpy")},
        "runs": runs,
    }
    (WEIGHTS / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n")


VIT = {"patch_size": 7, "hidden_size": 48, "depth": 4, "num_heads": 4}
PARTS = {
    "autoencoder-8x8x4": lambda name: make_autoencoder(name, 4, steps=1500, kl_weight=1e-3),
    "autoencoder-4x4x8": lambda name: make_autoencoder(name, 8, steps=1200, kl_weight=3e-4),
    "vit-comparison": lambda name: compare_vits(name, steps=500, seeds=(0, 1, 2)),
}

if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    began = time.perf_counter()
    for part in sys.argv[1:] or PARTS:
        PARTS[part](part)
    print(f"all trained in {time.perf_counter() - began:.0f} s")
