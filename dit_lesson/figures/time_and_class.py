"""Chapter 6's figure: how a time step and a class become one vector."""

from typing import Any, ClassVar

import matplotlib.figure
import numpy as np
import traitlets

from dit_lesson import plots
from dit_lesson.figures.base import Figure
from dit_lesson.numpy_dit import linear, timestep_embedding

FREQUENCY_SIZE = 256
HIDDEN_SIZE = 16
NULL_CLASS = 10
TIMES = np.arange(0, 1000, 10)
ALIVE = 0.05  # a dimension whose deviation over all times is smaller tells little about t


class TimestepFigure(Figure):
    """The sinusoid of a time step, one of its dimensions over time, and the sum with a label.

    `unit` is the range in which t is fed in: ``"thousand"`` (0 to 1000, as DiT does) or
    ``"one"`` (0 to 1). The linear layer and the label table hold random, untrained weights.
    """

    caption: ClassVar[str] = (
        "Above, the embedding of every time step: time from left to right, every fourth of the "
        "256 dimensions from top to bottom, first the cosines, then the sines, and the chosen "
        "dimension as a curve. Below, time and class as vectors of width 16, and their sum c."
    )

    t = traitlets.Int(300, min=0, max=999)
    unit = traitlets.Enum(["thousand", "one"], "thousand")
    dimension = traitlets.Int(40, min=0, max=FREQUENCY_SIZE - 1)
    label = traitlets.Int(7, min=0, max=NULL_CLASS)

    @classmethod
    def constants(cls) -> dict[str, Any]:
        """The linear layer and the label table, rounded, and what counts as alive."""
        random = np.random.default_rng(0)
        # e(t) has squared length 128: so the time vector has entries of size 1, like the table
        weight = random.normal(0, (2 / FREQUENCY_SIZE) ** 0.5, (HIDDEN_SIZE, FREQUENCY_SIZE))
        table = random.normal(0, 1, (NULL_CLASS + 1, HIDDEN_SIZE))
        return {
            "linear": weight.round(3).tolist(),
            "table": table.round(3).tolist(),
            "null_class": NULL_CLASS,
            "threshold": ALIVE,
        }

    def embedding(self, times: np.ndarray) -> np.ndarray:
        """The sinusoids (n, 256) of times from 0 to 999, fed in as `unit` says."""
        factor = 1.0 if self.unit == "thousand" else 1 / 1000
        return timestep_embedding(times * factor, FREQUENCY_SIZE)

    def alive(self) -> int:
        """How many of the 256 dimensions vary noticeably over all times."""
        return int((self.embedding(TIMES).std(axis=0) > ALIVE).sum())

    def condition(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The vectors of time and label, and their sum c, each (16,)."""
        weight = np.asarray(self.given["linear"])
        time = linear(self.embedding(np.array([self.t])), weight, np.zeros(HIDDEN_SIZE))[0]
        label = np.asarray(self.given["table"])[self.label]
        return time, label, time + label

    def stages(self) -> dict[str, Any]:
        """The table of all times, one of its columns and its rows, and the three vectors."""
        time, label, c = self.condition()
        return {
            "all": self.embedding(TIMES),
            "embedding": self.embedding(np.array([self.t]))[0],
            "curve": self.embedding(TIMES)[:, self.dimension],
            "alive": self.alive(),
            "time": time,
            "class": label,
            "c": c,
        }

    def summary(self) -> str:
        """Which dimensions are alive, and how large the condition is."""
        _, _, c = self.condition()
        label = "no class" if self.label == NULL_CLASS else f"class {self.label}"
        span = "0 to 1000" if self.unit == "thousand" else "0 to 1"
        return (
            f"Time step {self.t} of t from {span} and {label}: {self.alive()} of 256 dimensions "
            f"vary with t, and the condition c has root mean square {np.sqrt(np.mean(c**2)):.2f}."
        )

    def picture(self) -> matplotlib.figure.Figure:
        """The table of embeddings, the chosen curve, and the three vectors."""
        table = self.embedding(TIMES).T[::4]
        curve = self.embedding(TIMES)[:, self.dimension]
        return plots.condition_vectors(
            table, TIMES, curve, self.t, dict(zip("tyc", self.condition(), strict=True))
        )
