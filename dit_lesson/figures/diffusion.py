"""Chapter 2's figure: a digit at every noise level, and what the network is asked for."""

from typing import Any, ClassVar

import matplotlib.figure
import numpy as np
import traitlets

from dit_lesson import plots
from dit_lesson.diffusion import alpha_bar, linear_betas
from dit_lesson.figures import samples
from dit_lesson.figures.base import Figure

SCHEDULES = {"full": (1000, True), "short": (100, False), "rescaled": (100, True)}
NAMES = {
    "full": "1000 steps",
    "short": "100 steps, not rescaled",
    "rescaled": "100 steps, rescaled",
}
TARGETS = {"noise": "the noise ε", "data": "the data x₀", "velocity": "the velocity ε − x₀"}


class DiffusionFigure(Figure):
    """A digit, one fixed noise, and their mixture at time `t` of 1000.

    `schedule` says how many steps lie on the way and whether a short way is rescaled;
    `target` what the network is asked for.  The same proportions on the straight path of
    flow matching are given for both directions of time.
    """

    caption: ClassVar[str] = (
        "A digit, a noise and their mixture at step t, with what the network is asked for; "
        "the signal that three schedules leave, and the signal-to-noise ratio; "
        "the same proportions on the straight path, with time running both ways. "
        "The background colour is zero."
    )

    t = traitlets.Int(300, min=0, max=999)
    schedule = traitlets.Enum(list(SCHEDULES), "full")
    target = traitlets.Enum(list(TARGETS), "noise")
    digit = traitlets.Int(3, min=0, max=9)

    @classmethod
    def constants(cls) -> dict[str, Any]:
        """The digits, the noise and the schedules."""
        return {
            "digits": samples.as_texts(samples.small_digits()),
            "noise": samples.noise(16, 16).tolist(),
            "schedules": SCHEDULES,
            "names": NAMES,
            "targets": TARGETS,
        }

    def stages(self) -> dict[str, Any]:
        """All that the figure shows: the step, its numbers, and images (16, 16)."""
        steps, rescale = SCHEDULES[self.schedule]
        step = self.t * steps // 1000
        kept = float(alpha_bar(linear_betas(steps, rescale=rescale))[step])
        data = samples.as_numbers(samples.small_digits()[self.digit])
        noise = samples.noise(16, 16)
        signal, rest = np.sqrt(kept), np.sqrt(1 - kept)
        flow_time = rest / (signal + rest)
        return {
            "step": step,
            "alphaBar": kept,
            "snr": kept / (1 - kept),
            "data": data,
            "noise": noise,
            "mixed": signal * data + rest * noise,
            "target": {"noise": noise, "data": data, "velocity": noise - data}[self.target],
            "flowTime": flow_time,
            "straight": (1 - flow_time) * data + flow_time * noise,
            "noiseAtOne": noise - data,
            "noiseAtZero": data - noise,
        }

    def summary(self) -> str:
        """The step, the signal left, and the same proportions in flow time."""
        now = self.stages()
        return (
            f"A digit {self.digit} at step {now['step']} of {NAMES[self.schedule]}: "
            f"{now['alphaBar']:.1%} of its variance is left, a signal-to-noise ratio of "
            f"{now['snr']:.2g}; the network is asked for {TARGETS[self.target]}. In flow "
            f"matching these proportions have t = {now['flowTime']:.2f} with the noise at 1 and "
            f"t = {1 - now['flowTime']:.2f} with the noise at 0."
        )

    def picture(self) -> matplotlib.figure.Figure:
        """Six images, the schedules' curves and the two directions of time."""
        now = self.stages()
        asked = plots.SIGNED if self.target == "velocity" else plots.INK
        panels = {
            "data": (now["data"], plots.INK),
            "noise": (now["noise"], plots.INK),
            "their mixture": (now["mixed"], plots.INK),
            f"asked for: {TARGETS[self.target]}": (now["target"], asked),
            "velocity, noise at 1": (now["noiseAtOne"], plots.SIGNED),
            "velocity, noise at 0": (now["noiseAtZero"], plots.SIGNED),
        }
        curves = {
            NAMES[name]: alpha_bar(linear_betas(steps, rescale=rescale)).numpy()
            for name, (steps, rescale) in SCHEDULES.items()
        }
        return plots.noised_digit(
            panels, curves, NAMES[self.schedule], self.t / 1000, now["flowTime"]
        )
