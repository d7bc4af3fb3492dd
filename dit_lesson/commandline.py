"""The command ``python -m dit_lesson.training``: a `Run` with a folder of its own.

The folder holds ``settings.json`` (what was asked), ``run.pt`` (to go on), samples and the loss as
pictures, and at the end ``model.safetensors`` with its card, which `load_model` takes.
"""

import argparse
import copy
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from dit_lesson.autoencoder import Autoencoder, autoencoder_loss
from dit_lesson.checkpoints import load_model, save_weights, write_atomically
from dit_lesson.data import Pictures, digits, load_pictures, shift_images
from dit_lesson.diffusion import Prediction, Straight, conditional_loss
from dit_lesson.models import DESIGNS, DIT_CONFIGS, DiT, DiTConfig
from dit_lesson.sampling import guided, sample
from dit_lesson.training import Recipe, Run, require_data
from dit_lesson.validation import positive, require, within

#: hidden size, depth, heads, learning rate, decay of the average; S to XL are the paper's.
SIZES = {"tiny": (64, 3, 4, 1e-2, 0.995), "small": (128, 4, 4, 3e-3, 0.995)} | {
    size: (config.hidden_size, config.depth, config.num_heads, 1e-4, 0.9999)
    for size in ("S", "B", "L", "XL")
    for config in (DIT_CONFIGS[f"DiT-{size}/2"],)
}
SHIPPED_AUTOENCODER = "autoencoder-4x4x8"
COPIES = 4  # of each digit, each shifted by up to 2 pixels
PATH = Straight(spread=1.0)


def parser() -> argparse.ArgumentParser:
    """All options, with their defaults."""
    options = argparse.ArgumentParser(
        prog="python -m dit_lesson.training",
        description="Train a DiT on the digits that ship with the book, or on your own pictures. "
        "The output folder gets samples and the loss as pictures, run.pt to go on from, and at the "
        "end model.safetensors with its card, for dit_lesson.checkpoints.load_model.",
        epilog="Ctrl-C saves and stops, a second one stops at once. In two processes: torchrun "
        "--nproc_per_node=2 -m dit_lesson.training ...",
    )

    def add(name: str, text: str, **more: Any) -> None:
        shown = "" if more.get("default") is None else " (default: %(default)s)"
        options.add_argument(name, help=text + shown, **more)

    add("--output", "a new folder", type=Path, default=Path("run"), metavar="FOLDER")
    add("--resume", "go on with the run in a folder; no other option", type=Path, metavar="FOLDER")
    add("--data", "your pictures, one subfolder a class; without it, the digits", type=Path,
        metavar="FOLDER")  # fmt: skip
    add("--image-size", "pictures are cropped and scaled to this side; a multiple of 4 if not "
        "--pixels", type=int, default=32, metavar="PIXELS")  # fmt: skip
    add("--pixels", "learn pixels, not the latents of an autoencoder", action="store_true")
    add("--autoencoder-steps", "for the autoencoder of your pictures, which is trained first",
        type=int, default=1500, metavar="N")  # fmt: skip
    add("--design", "where time and class enter", choices=DESIGNS, default="adaln-zero")
    add("--size", "of the model; S, B, L and XL are the paper's", choices=SIZES, default="tiny")
    add("--patch-size", "a divisor of the latent's side, or the picture's with --pixels (default: "
        "the one nearest to a quarter of it, to an eighth with --pixels)",
        type=int, metavar="P")  # fmt: skip
    add("--steps", "batches to learn from", type=int, default=1000, metavar="N")
    add("--seconds", "instead of --steps: as many as fit, by a short trial", type=float,
        metavar="S")  # fmt: skip
    add("--batch-size", "samples in a batch, over all processes", type=int, default=32, metavar="B")
    add("--learning-rate", "(default: 0.01 for tiny, 0.003 for small, 0.0001 for the others)",
        type=float, metavar="RATE")  # fmt: skip
    add("--guidance", "of the samples; 1 is none", type=float, default=1.5, metavar="SCALE")
    add("--every", "steps from one save and look to the next", type=int, default=250, metavar="N")
    add("--seed", "of all that is random", type=int, default=0, metavar="N")
    add("--device", "where to train", choices=("cpu", "cuda", "mps"), default="cpu")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Train as the command line says.

    Returns: 0 for a model; 2 for wrong input, and nothing is written; 130 if it was stopped; 1 if
    it cannot go on. A sentence says which.
    """
    options = parser().parse_args(arguments)
    try:
        if options.resume:
            _require_nothing_else(options, arguments)
            options = _settings_of(options.resume)
        training = Training(options)
    except (ValueError, OSError) as error:
        return _end(str(error), 2)
    except KeyboardInterrupt:  # while pictures were loaded
        return _end("stopped before anything was written", 130)
    go_on = f"go on with --resume {options.output}"
    try:
        with training.stopped_by_signals():
            training.run()
    except Stopped as stopped:
        return _end(f"{stopped}; {go_on}", 130)
    except OSError as error:
        reason = error.strerror or error
        return _end(f"could not read or write ({reason}); when that is mended, {go_on}", 1)
    except ValueError as error:  # a loss that is not finite, a damaged or a foreign file
        return _end(f"{error}; what was saved before is in {options.output}", 1)
    return _end(f"model, samples and loss are in {options.output}", 0)


class Stopped(Exception):
    """Somebody asked the run to stop, and it is saved."""


class Training:
    """One run of the command: the data, the models, and what is written where."""

    def __init__(self, options: argparse.Namespace):
        _require_options(options)
        data = _load(options)
        self.options, self.folder = options, options.output
        self.images, self.labels, self.classes = data.images, data.labels, data.classes
        self.device = torch.device(options.device)
        if "RANK" in os.environ:  # torchrun sets it
            dist.init_process_group("nccl" if options.device == "cuda" else "gloo")
            if options.device == "cuda":
                self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        self.autoencoder: Autoencoder | None = None
        side, channels = self.images.shape[-1], self.images.shape[1]
        if not options.pixels:
            downsample = 4 if options.data else 8
            require(side % downsample == 0, f"--image-size {side} is not a multiple of 4")
            torch.manual_seed(options.seed)
            self.autoencoder = Autoencoder(downsample, in_channels=channels)
            side, channels = side // downsample, self.autoencoder.latent_channels
        hidden_size, depth, num_heads, learning_rate, ema_decay = SIZES[options.size]
        patch_size = options.patch_size
        if patch_size is None:
            patch_size = nearest_divisor(side, side / (8 if options.pixels else 4))
        self.config = DiTConfig(
            input_size=side,
            patch_size=patch_size,
            in_channels=channels,
            hidden_size=hidden_size,
            depth=depth,
            num_heads=num_heads,
            num_classes=len(self.classes),
            learn_sigma=False,
            conditioning=options.design,
            embedding_init="unit" if hidden_size < 384 else "paper",
        )
        if options.learning_rate is not None:
            learning_rate = options.learning_rate
        self.recipe = Recipe(options.steps, options.batch_size, learning_rate, ema_decay=ema_decay)
        require_data((self.images, self.labels), options.batch_size)
        self.predicts: Prediction = "data" if options.pixels else "velocity"
        self.loss = conditional_loss(PATH, self.predicts, measured_in="velocity")
        self.stop_asked = False

    def run(self) -> None:
        """From the data to a model that is saved and has painted."""
        if is_first():
            self.folder.mkdir(parents=True, exist_ok=True)
            settings = {key: str(v) if isinstance(v, Path) else v
                        for key, v in vars(self.options).items() if key != "resume"}  # fmt: skip
            write_atomically(self.folder / "settings.json", json.dumps(settings, indent=2).encode())
        x = self.images.to(self.device)
        if self.autoencoder is not None:
            self.autoencoder = self._trained_autoencoder(self.autoencoder.to(self.device), x)
            x = torch.cat([self.autoencoder.to_latents(piece) for piece in x.split(500)])
        data = x, self.labels.to(self.device)
        torch.manual_seed(self.options.seed)
        model = DiT(self.config).to(self.device)
        path = self.folder / "run.pt"
        if path.is_file():
            run = Run.resume(path, model, self.loss, data)
        else:
            if self.options.seconds:
                self.recipe = self._measured(model, data)
            run = Run(model, self.loss, data, self.recipe, self.options.seed)
        self.follow(run, path, self.look)
        run.finish()
        if is_first():
            card = {"model": "DiT", "arguments": asdict(self.config), "classes": self.classes}
            card |= {"predicts": self.predicts, "training": asdict(run.recipe)}
            save_weights(model, "model", card, self.folder)

    def follow(self, run: Run, path: Path, look: Callable[[Run], None]) -> None:
        """Step to the end; save and look every so many steps, and stop when asked to."""
        for n in run.walk(progress=is_first()):
            stop = self._stop_asked_anywhere()
            if stop or n % self.options.every == 0 or n == run.recipe.steps:
                run.save(path)
            if stop and n < run.recipe.steps:
                raise Stopped(f"saved at step {n} of {run.recipe.steps}")
            if n % self.options.every == 0 or n == run.recipe.steps:
                if is_first():
                    look(run)

    def look(self, run: Run) -> None:
        """Write samples, a row a class, and the curve of the loss."""
        rows = min(10, len(self.classes))
        y = torch.arange(rows, device=self.device).repeat_interleave(8)
        config = self.config
        shape = (len(y), config.in_channels, config.input_size, config.input_size)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(self.options.seed))
        model = guided(run.snapshot(), y, config.num_classes, self.options.guidance)
        x = sample(model, noise.to(self.device), PATH, 20, predicts=self.predicts)
        if self.autoencoder is not None:
            x = self.autoencoder.from_latents(x)
        samples, curve = io.BytesIO(), io.BytesIO()
        tiled(x.cpu(), rows).save(samples, "png")
        loss_curve(run.losses[: run.steps_done].cpu().numpy()).savefig(curve, format="png")
        write_atomically(self.folder / f"samples-{run.steps_done:06d}.png", samples.getvalue())
        write_atomically(self.folder / "loss.png", curve.getvalue())

    def _trained_autoencoder(self, model: Autoencoder, images: Tensor) -> Autoencoder:
        """The shipped one for digits; for pictures one that is trained here, once."""
        if not self.options.data:
            return load_model(SHIPPED_AUTOENCODER).to(self.device)
        if (self.folder / "autoencoder.json").is_file():
            return load_model("autoencoder", self.folder).to(self.device)

        def loss(model: Autoencoder, images: Tensor, generator: torch.Generator) -> Tensor:
            shape = self.config.in_channels, self.config.input_size, self.config.input_size
            noise = torch.randn((len(images), *shape), generator=generator, device=images.device)
            return autoencoder_loss(model, images, noise)

        path, batch_size = self.folder / "autoencoder.pt", self.options.batch_size
        if path.is_file():
            run = Run.resume(path, model, loss, (images,))
        else:
            recipe = Recipe(self.options.autoencoder_steps, batch_size, learning_rate=4e-3)
            run = Run(model, loss, (images,), recipe, self.options.seed)
        self.follow(run, path, lambda run: None)
        run.finish()
        model.measure_latents(images)
        model.half().float()  # as it is saved, so that a resumed run has the same latents
        if is_first():
            arguments = {"downsample": model.downsample, "in_channels": model.in_channels}
            card = {"model": "Autoencoder", "arguments": arguments}
            save_weights(model, "autoencoder", card, self.folder)
        return model.eval()

    def _measured(self, model: nn.Module, data: tuple[Tensor, ...]) -> Recipe:
        """The recipe with as many steps as the seconds allow, by a trial on a copy."""
        trial = Run(copy.deepcopy(model), self.loss, data, replace(self.recipe, steps=15), 0)
        for n in trial.walk():
            if n == 5:
                start = time.perf_counter()
        trial.finish()
        seconds = torch.tensor((time.perf_counter() - start) / 10, device=self.device)
        if dist.is_initialized():
            dist.all_reduce(seconds, dist.ReduceOp.MAX)
        return replace(self.recipe, steps=max(1, int(self.options.seconds / seconds.item())))

    @contextmanager
    def stopped_by_signals(self) -> Generator[None]:
        """Ctrl-C and a polite kill ask to stop, and are answered after the step.

        A second one ends the process at once; what is on disk is whole at any time.
        """

        def ask(number: int, _: Any) -> None:
            self.stop_asked = True
            signal.signal(number, signal.SIG_DFL)

        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, ask) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

    def _stop_asked_anywhere(self) -> bool:
        if not dist.is_initialized():
            return self.stop_asked
        asked = torch.tensor(int(self.stop_asked), device=self.device)
        dist.all_reduce(asked, dist.ReduceOp.MAX)
        return bool(asked)


def is_first() -> bool:
    """Whether this process is the one that writes: alone, or the first of several."""
    return not dist.is_initialized() or dist.get_rank() == 0


def nearest_divisor(number: int, wanted: float) -> int:
    """The divisor of a number that is nearest to what is wanted, of two the smaller one."""
    divisors = [n for n in range(1, number + 1) if number % n == 0]
    return min(divisors, key=lambda n: abs(n - wanted))


def tiled(images: Tensor, rows: int) -> Image.Image:
    """Images (rows * n, C, H, W) in [-1, 1] as one picture of rows of n; digits as ink on paper."""
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().byte()
    if images.shape[1] == 1:
        pixels = 255 - pixels
    count, channels, height, width = pixels.shape
    grid = pixels.reshape(rows, -1, channels, height, width).permute(0, 3, 1, 4, 2)
    return Image.fromarray(grid.reshape(rows * height, -1, channels).squeeze(-1).numpy())


def loss_curve(losses: np.ndarray) -> Figure:
    """The loss of every step, and the mean of the fifty around it."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(np.arange(1, len(losses) + 1), losses, color="0.8")
    width = min(50, len(losses))
    mean = np.convolve(losses, np.full(width, 1 / width), mode="valid")
    axes.plot(np.arange(len(mean)) + (width + 1) / 2, mean, color="#0072B2")
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    return figure


def _require_nothing_else(options: argparse.Namespace, arguments: list[str] | None) -> None:
    """Refuse --resume beside an option that it would not heed."""
    # what a namespace holds already no default replaces, so that only what was given is there
    given = parser().parse_args(arguments, argparse.Namespace(**dict.fromkeys(vars(options))))
    require(
        all(name == "resume" or value is None for name, value in vars(given).items()),
        f"--resume {options.resume} takes all settings from the folder, expected no other option",
    )


def _settings_of(folder: Path) -> argparse.Namespace:
    """The options of a run that goes on."""
    path = folder / "settings.json"
    if not path.is_file():
        raise FileNotFoundError(f"--resume {folder} holds no run: there is no {path.name} in it")
    reader = parser()
    reader.exit_on_error = False
    names = vars(reader.parse_args([])).keys() - {"resume"}
    sentence = f"--resume {folder}: {path.name} is damaged or holds no settings of a run"
    try:
        settings = json.loads(path.read_text())
        require(isinstance(settings, dict) and settings.keys() == names, "other names")
        words = [  # the command line again, so that it is judged as it was
            f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}")
            for name, value in settings.items()
            if value is not None and value is not False
        ]
        options = reader.parse_args(words)
    except (ValueError, argparse.ArgumentError) as error:
        raise ValueError(f"{sentence} ({error})") from error
    options.output = options.resume = folder
    return options


def _load(options: argparse.Namespace) -> Pictures:
    if options.data:
        return load_pictures(options.data, options.image_size)
    require(options.image_size == 32, f"--image-size is {options.image_size}, digits have 32")
    images, labels = digits("train", 32)
    generator = torch.Generator().manual_seed(options.seed)
    copies = torch.cat([shift_images(images, 2, generator) for _ in range(COPIES)])
    return Pictures(copies, labels.repeat(COPIES), tuple("0123456789"))


def _require_options(options: argparse.Namespace) -> None:
    folder, device = options.output, options.device
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    require(there.is_dir(), f"--output {folder}: {there} is no folder, expected a new folder")
    require(
        bool(options.resume) or not folder.is_dir() or not any(folder.iterdir()),
        f"--output {folder} is not empty, expected a new folder; a run in it goes on with "
        f"--resume {folder}",
    )
    usable = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.mps.is_available()}
    require(usable[device], f"--device {device} is not available here, expected cpu")
    positive("--every", steps=options.every)
    positive("--autoencoder-steps", steps=options.autoencoder_steps)
    within("--guidance", -1e6, 1e6, scale=options.guidance)
    seconds = options.seconds
    require(seconds is None or seconds > 0, f"--seconds is {seconds}, expected a positive number")


def _end(sentence: str, code: int) -> int:
    """Say how it ended, once, and leave the other processes."""
    if is_first():
        print(f"\n{sentence}", file=sys.stderr if code else sys.stdout, flush=True)
    if dist.is_initialized():
        dist.destroy_process_group()
    return code
