"""One training run for every model of the book: step by step, saved, resumed, in parallel.

``python -m dit_lesson.training --help`` trains a DiT on the digits or on your own pictures.
"""

import copy
import hashlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch.overrides import TorchFunctionMode
from tqdm import tqdm

from dit_lesson.checkpoints import load_state, require_fit, save_state
from dit_lesson.validation import positive, require

Loss = Callable[..., Tensor]
Tensors = tuple[Tensor, ...] | list[Tensor]

#: On an accelerator, the steps between two looks at the loss: each look waits for the device.
LOOK = 50


@dataclass(frozen=True)
class Recipe:
    r"""The numbers of a run: $\theta \leftarrow \theta - \eta_n\,\mathrm{AdamW}(\nabla_\theta)$.

    DiT trains for 400,000 steps at a constant rate of 1e-4, batch 256, Adam's betas 0.9 and
    0.999, no weight decay, an average with d = 0.9999, no warm-up and no clipping. Runs of a
    minute need other means, in all runs of the book: the rate rises over the first tenth of the
    steps and falls to 1% along a cosine, Adam's second beta is 0.99, gradients are clipped to
    norm 1, and the average forgets the random start sooner (see ``ema_decay``).

    Args:
        steps: batches to learn from.
        batch_size: samples in a batch, over all processes.
        learning_rate: $\eta$ at its highest.
        weight_decay: what AdamW takes off the weights, as a share of $\eta_n\theta$.
        ema_decay: the model ends with the exponential moving average of its weights,
            $\bar\theta \leftarrow d\,\bar\theta + (1-d)\,\theta$ with
            d = min(ema_decay, (1+n) / (10+n)) after step n; None leaves the last weights.
        fused: torch's one kernel for AdamW, which is faster and rounds otherwise. Weights that
            were made without it are made again to the last bit only without it.
    Raises: ValueError for numbers out of range.
    Source: DiT, section 4.
    """

    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.0
    ema_decay: float | None = None
    fused: bool = True

    def __post_init__(self):
        positive("Recipe", steps=self.steps, batch_size=self.batch_size)
        require(
            self.learning_rate > 0,
            f"Recipe: learning_rate is {self.learning_rate}, expected a positive number",
        )
        require(
            self.weight_decay >= 0,
            f"Recipe: weight_decay is {self.weight_decay}, expected 0 or more",
        )
        require(
            self.ema_decay is None or 0 < self.ema_decay < 1,
            f"Recipe: ema_decay is {self.ema_decay}, expected a number between 0 and 1",
        )

    def rate(self, step: int) -> float:
        r"""$\eta_n$: a linear rise over a tenth of the steps, times a cosine from 1 to 1%."""
        warmup = max(1, self.steps // 10)
        fall = 0.5 * (1 + np.cos(np.pi * step / self.steps))
        return float(self.learning_rate * (min(1.0, (step + 1) / warmup) * (0.01 + 0.99 * fall)))


class Run:
    """A model on its way through a `Recipe`: a step at a time, saved and resumed bit for bit.

    One generator gives the order of the data, new for each pass, and the noise of the loss, so
    that a seed fixes the run (on one machine, with one number of threads). Under ``torchrun``
    each process takes its rows of every batch and of all noise, and the gradients are averaged:
    the weights are those of one process but for rounding.

    Args:
        model: trained in place, on the device of the data.
        loss: called as ``loss(model, *batch, generator)``; it draws all its noise from the
            generator with ``torch.rand``, ``randn`` or ``randint`` and returns a mean over the
            batch. Under ``torchrun`` the batch is the first axis of every draw, and it may call
            the model, not read its attributes.
        data: tensors of one length, whose rows are shuffled together.
        recipe: the numbers of the run.
        seed: of the generator.
    Raises: ValueError for empty or unequal data, or a batch that is larger than the data or
    cannot be shared out evenly.
    """

    #: What `save` writes and `resume` needs.
    SAVED = (
        *("recipe", "seed", "data", "steps_done", "losses", "order"),
        *("generator", "model", "optimizer", "average"),
    )

    def __init__(
        self, model: nn.Module, loss: Loss, data: tuple[Tensor, ...], recipe: Recipe, seed: int
    ):
        require_data(data, recipe.batch_size)
        self.model, self.loss, self.data, self.recipe, self.seed = model, loss, data, recipe, seed
        device = data[0].device
        self.steps_done = 0
        self.losses = torch.zeros(recipe.steps, device=device)
        self.generator = torch.Generator(device).manual_seed(seed)
        self.order = torch.arange(0, device=device)
        self.parallel: nn.Module = model
        if dist.is_initialized():
            self.parallel = DistributedDataParallel(model)
        self.optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=recipe.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=recipe.weight_decay,
            fused=recipe.fused,
        )
        self.average = None
        if recipe.ema_decay is not None:
            self.average = AveragedModel(model, multi_avg_fn=self._move_average)
            self.average.n_averaged.fill_(1)  # the random start counts; 0 would overwrite it

    def step(self) -> None:
        """One batch: the loss, its gradient, AdamW, the average.

        Raises: ValueError if the loss is not finite: the weights are then no longer of use, and
        what was saved before is.
        """
        recipe, n = self.recipe, self.steps_done
        batch = self._next_batch()
        self.model.train()
        with _Share(len(batch[0])) if self.parallel is not self.model else nullcontext():
            value = self.loss(self.parallel, *batch, self.generator)
        self.losses[n] = _mean_over_processes(value.detach())
        if self.losses.device.type == "cpu" or n % LOOK == 0:
            self.check(n + 1)
        self.optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.rate(n)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.steps_done = n + 1

    def walk(self, progress: bool = False) -> Iterator[int]:
        """Step to the end; yields the number of steps done, to save or to look in between.

        Args:
            progress: a bar on stderr with the loss and the time left.
        """
        steps, first = self.recipe.steps, self.steps_done
        with tqdm(total=steps, initial=first, unit="step", disable=not progress) as bar:
            while self.steps_done < steps:
                self.step()
                if progress and self.steps_done % LOOK == 0:
                    recent = self.losses[self.steps_done - LOOK : self.steps_done]
                    bar.set_postfix(loss=f"{recent.mean().item():.4f}", refresh=False)
                bar.update()
                yield self.steps_done

    def complete(self, progress: bool = False) -> np.ndarray:
        """`walk` to the end and `finish`."""
        for _ in self.walk(progress):
            pass
        return self.finish()

    def finish(self) -> np.ndarray:
        """Leave the model in eval mode with the averaged weights; the loss of every step.

        Raises: ValueError if a loss or a weight is not finite.
        """
        self.check(self.steps_done)
        self.check_weights()
        if self.average is not None:
            self.model.load_state_dict(self.average.module.state_dict())
        self.model.eval()
        return self.losses[: self.steps_done].cpu().double().numpy()  # MPS has no float64

    def snapshot(self) -> nn.Module:
        """A copy of the model as `finish` would leave it now, for a look at its samples."""
        return copy.deepcopy(self.average.module if self.average else self.model).eval()

    def check(self, steps: int) -> None:
        """Refuse to go on, or to save, if one of the first losses is not finite."""
        first = max(0, steps - LOOK)
        wrong = (~self.losses[first:steps].isfinite()).nonzero()
        if len(wrong) > 0:
            step = first + int(wrong[0])
            raise ValueError(
                f"train: loss is {self.losses[step].item()} at step {step}, expected a finite "
                f"number; try a learning rate below {self.recipe.learning_rate}"
            )

    def check_weights(self) -> None:
        """Refuse weights that are not finite, or so large that a product of two is not."""
        models = [self.model] if self.average is None else [self.model, self.average.module]
        for name, weight in (pair for model in models for pair in model.named_parameters()):
            require(
                bool(weight.detach().square().sum().isfinite()),
                f"train: {name} is not finite or too large after step {self.steps_done - 1}, "
                f"expected weights of use; try a learning rate below {self.recipe.learning_rate}",
            )

    def save(self, path: str | Path) -> None:
        """Write all that `resume` needs to one file, atomically; one process of several does.

        Raises: ValueError if a loss or a weight is not finite; OSError, for example for a full
        disk. In both cases a file that was there stays.
        """
        self.check(self.steps_done)
        self.check_weights()
        if dist.is_initialized() and dist.get_rank() > 0:
            return
        save_state(
            path,
            {
                "recipe": asdict(self.recipe),
                "seed": self.seed,
                "data": _fingerprint(self.data),
                "steps_done": self.steps_done,
                "losses": self.losses[: self.steps_done],
                "order": self.order,
                "generator": self.generator.get_state(),
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average.state_dict() if self.average else None,
            },
        )

    @classmethod
    def resume(
        cls, path: str | Path, model: nn.Module, loss: Loss, data: tuple[Tensor, ...]
    ) -> Self:
        """The run that was saved; it goes on as if it had never stopped, bit for bit.

        Args:
            path: of a file that `save` wrote.
            model: of the same shape; all its numbers are replaced.
            loss: the same as before; no file can hold it.
            data: the same as before.
        Raises: FileNotFoundError; ValueError for a damaged file, another model or other data.
        """
        state, name = load_state(path), Path(path).name
        for key in cls.SAVED:
            require(key in state, f"Run.resume: {name} has no {key}, expected a file of Run.save")
        require(
            _fingerprint(data) == state["data"],
            f"Run.resume: {name} was saved by a run on other data, expected the same",
        )
        require_fit("Run.resume", name, state["model"], model.state_dict())
        model.load_state_dict(state["model"])
        run = cls(model, loss, data, Recipe(**state["recipe"]), state["seed"])
        run.steps_done, run.order = state["steps_done"], state["order"].to(run.order.device)
        run.losses[: run.steps_done] = state["losses"]
        run.generator.set_state(state["generator"])
        run.optimizer.load_state_dict(state["optimizer"])
        if run.average is not None:
            run.average.load_state_dict(state["average"])
        return run

    def _next_batch(self) -> tuple[Tensor, ...]:
        """This process's rows of the next full batch; every pass over the data has a new order."""
        size, length = self.recipe.batch_size, len(self.data[0])
        place = self.steps_done % (length // size)
        if place == 0:
            device = self.generator.device
            self.order = torch.randperm(length, generator=self.generator, device=device)
        rows = _own_share(self.order[place * size : (place + 1) * size], dim=0)
        return tuple(values[rows] for values in self.data)

    @torch.no_grad()
    def _move_average(self, average: Tensors, weights: Tensors, _: Any) -> None:
        n, decay = self.steps_done, self.recipe.ema_decay or 0.0
        torch._foreach_lerp_(average, weights, 1 - min(decay, (1 + n) / (10 + n)))


def train(
    model: nn.Module,
    loss: Loss,
    data: tuple[Tensor, ...],
    *,
    seed: int,
    progress: bool = False,
    **recipe: Any,
) -> np.ndarray:
    """A `Run` from its first step to its last, for a notebook.

    Args:
        model: trained in place, on the device of the data, and left in eval mode.
        loss: called as ``loss(model, *batch, generator)``, a mean over the batch; see `Run`.
        data: tensors of one length, (n, ...) each, whose rows are shuffled together.
        seed: of the order of the data and the noise of the loss.
        progress: a bar on stderr (leave it off in a notebook that is compared).
        recipe: ``steps``, ``batch_size``, ``learning_rate`` and what else a `Recipe` has, with
            ``fused=False`` by default, so that numbers that were once printed stay.
    Returns: the loss of every step, (steps,) float64.
    Raises: ValueError for a `Recipe` or data that do not fit, or a loss or weight that is not
    finite.
    """
    return Run(model, loss, data, Recipe(**({"fused": False} | recipe)), seed).complete(progress)


class _Share(TorchFunctionMode):
    """Random numbers for the rows of all processes, of which this one keeps its own.

    Every process draws the same numbers from its copy of the generator, those that one process
    would draw for the whole batch: the first axis, its batch, is drawn for all of them.
    """

    def __init__(self, rows: int):
        super().__init__()
        self.rows = rows

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Draw for all, keep a share; anything but a draw from a generator is left alone."""
        kwargs = kwargs or {}
        if func not in (torch.rand, torch.randn, torch.randint) or "generator" not in kwargs:
            return func(*args, **kwargs)
        limits, rest = args, dict(kwargs)
        if "size" in rest:
            shape = rest.pop("size")
        elif isinstance(args[-1], int):
            limits, shape = (), args
        else:
            *limits, shape = args
        require(
            tuple(shape[:1]) == (self.rows,),
            f"train: loss draws numbers of shape {tuple(shape)}, expected the {self.rows} rows of "
            "the batch of this process as the first axis",
        )
        whole = (self.rows * dist.get_world_size(), *shape[1:])
        return _own_share(func(*limits, size=whole, **rest), dim=0)


def _own_share(values: Tensor, dim: int) -> Tensor:
    """The part of an axis that belongs to this process; all of it for one process alone."""
    if not dist.is_initialized():
        return values
    return values.chunk(dist.get_world_size(), dim)[dist.get_rank()]


def _mean_over_processes(value: Tensor) -> Tensor:
    if dist.is_initialized():
        dist.all_reduce(value)
        value /= dist.get_world_size()
    return value


def _fingerprint(data: tuple[Tensor, ...]) -> str:
    digest = hashlib.sha256()
    for values in data:
        digest.update(f"{values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.cpu().contiguous().numpy())
    return digest.hexdigest()


def require_data(data: tuple[Tensor, ...], batch_size: int) -> None:
    """Refuse what a `Run` cannot learn from.

    Args:
        data: a tuple of tensors of one length.
        batch_size: at most that length, over all processes.
    Raises: ValueError.
    """
    world = dist.get_world_size() if dist.is_initialized() else 1
    require(
        isinstance(data, tuple) and len(data) > 0,
        f"train: data is a {type(data).__name__}, expected a tuple of tensors of one length",
    )
    lengths = [len(values) for values in data]
    require(
        lengths[0] > 0 and len(set(lengths)) == 1,
        f"train: data has lengths {lengths}, expected one length of at least 1",
    )
    require(
        batch_size <= lengths[0],
        f"train: batch_size is {batch_size}, expected at most the {lengths[0]} rows of data",
    )
    require(
        batch_size % world == 0,
        f"train: batch_size is {batch_size}, expected a multiple of the {world} processes",
    )


if __name__ == "__main__":
    from dit_lesson.commandline import main

    raise SystemExit(main())
