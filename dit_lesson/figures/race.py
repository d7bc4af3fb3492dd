"""Chapter 15's figure: the runs of the race, seed by seed, and what the seeds can tell apart."""

from functools import cache
from typing import Any, ClassVar

import matplotlib.figure
import numpy as np
import traitlets

from dit_lesson import plots
from dit_lesson.experiments import read_result
from dit_lesson.experiments.race import CONTROL_SEEDS, RACE_SEEDS, TIMES
from dit_lesson.figures.base import DESIGN_NAMES, Figure
from dit_lesson.models import DESIGNS

#: What is raced: (equal, loudness) of the rivals, and who they are; adaLN-Zero is the last.
RACES = {
    "the four designs": ("steps", "unit", tuple(DESIGNS)),
    "gate or zero start": (
        "steps",
        "unit",
        ("adaln", "adaln, zero start", "gates, xavier start", "adaln-zero"),
    ),
    "quiet conditions": ("steps", "paper", tuple(DESIGNS)),
    "equal seconds": ("seconds", "unit", tuple(DESIGNS)),
    "equal parameters": ("parameters", "unit", tuple(DESIGNS)),
}
#: The entrants as the book writes them.
NAMES = DESIGN_NAMES | {
    "adaln, zero start": "adaLN, zero start",
    "gates, xavier start": "gates, Xavier start",
}
#: What is measured, and its sign: 1 where less is better.
MEASURES = {
    "loss": 1,
    **{f"loss at t = {t}": 1 for t in TIMES},
    "distance": 1,
    "accuracy": -1,
}


def measured(run: dict[str, Any]) -> dict[str, float]:
    """All `MEASURES` of a run."""
    by_t = dict(zip((f"loss at t = {t}" for t in TIMES), run["loss"], strict=True))
    mean = {"loss": round(sum(run["loss"]) / len(TIMES), 5)}
    return mean | by_t | {name: run[name] for name in ("distance", "accuracy")}


def seeds_of(equal: str, loudness: str) -> tuple[int, ...]:
    """The seeds of a race; the controls have fewer."""
    return RACE_SEEDS if (equal, loudness) == ("steps", "unit") else CONTROL_SEEDS


@cache
def results() -> dict[str, dict[str, list[list[float]]]]:
    """By race and measure: entrants (4) by seeds, five or, in a control, three."""
    found = {
        (run["equal"], run["loudness"], run["entrant"], run["seed"]): measured(run)
        for run in read_result("race")["runs"]
    }

    def of(equal: str, loudness: str, entrant: str, seed: int) -> dict[str, float]:
        if (equal, entrant) == ("parameters", "adaln-zero"):
            equal = "steps"  # it is what the others equal
        return found[equal, loudness, entrant, seed]

    return {
        race: {
            measure: [
                [of(equal, loudness, entrant, seed)[measure] for seed in seeds_of(equal, loudness)]
                for entrant in entrants
            ]
            for measure in MEASURES
        }
        for race, (equal, loudness, entrants) in RACES.items()
    }


def entrants_of(race: str) -> list[str]:
    """The names of the four who run."""
    return [NAMES[entrant] for entrant in RACES[race][-1]]


class RaceFigure(Figure):
    """Four entrants of a race, and their differences from one of them, by the first seeds."""

    caption: ClassVar[str] = (
        "Every mark is a trained model; a shape is a seed. Left: what is measured. Right: the "
        "difference from one of the four, seed by seed. A bar reaches one standard error to both "
        "sides of the mean, the thin one below it what that would be without the pairs."
    )

    race = traitlets.Enum(tuple(RACES), "the four designs")
    measure = traitlets.Enum(tuple(MEASURES), "loss")
    rival = traitlets.Int(3, min=0, max=3)
    seeds = traitlets.Int(3, min=1, max=len(RACE_SEEDS))

    @classmethod
    def constants(cls) -> dict[str, Any]:
        """All results, and who runs in which race."""
        return {
            "results": results(),
            "entrants": {race: entrants_of(race) for race in RACES},
            "signs": MEASURES,
        }

    def stages(self) -> dict[str, Any]:
        """Values and differences (4, n), their means, and their standard errors if any."""
        values = np.array(results()[self.race][self.measure])[:, : self.seeds]
        differences = values - values[self.rival]
        errors, paired = standard_errors(values), standard_errors(differences)
        return {
            "values": values,
            "means": values.mean(axis=1),
            "errors": errors,
            "differences": differences,
            "gaps": differences.mean(axis=1),
            "paired": paired,
            "unpaired": np.hypot(errors, errors[self.rival]) if len(errors) else errors,
        }

    def summary(self) -> str:
        """The order by means, and how many gaps are larger than two standard errors."""
        now, entrants = self.stages(), entrants_of(self.race)
        order = np.argsort(MEASURES[self.measure] * now["means"], kind="stable")
        seeds = now["values"].shape[1]
        names = ", ".join(f"{entrants[i]} {now['means'][i]:.3f}" for i in order)
        clear = int((np.abs(now["gaps"]) > 2 * now["paired"]).sum()) if len(now["paired"]) else 0
        return (
            f"{self.race}, {self.measure}, {seeds} seed{'s' * (seeds > 1)}, best first: {names}. "
            f"{clear} of 3 differ from {entrants[self.rival]} by more than two standard errors."
        )

    def picture(self) -> matplotlib.figure.Figure:
        """Values on the left, differences on the right, a row for each entrant."""
        now, entrants = self.stages(), entrants_of(self.race)
        figure, (left, right) = plots.drawing(1, 2, figsize=(plots.WIDTH, 2.6), sharey=True)
        for axes, values, means, errors in (
            (left, now["values"], now["means"], now["errors"]),
            (right, now["differences"], now["gaps"], now["paired"]),
        ):
            for row, (dots, mean) in enumerate(zip(values, means, strict=True)):
                for dot, shape in plots.styled(dots, plots.SHAPES):
                    axes.plot(dot, row, shape, color=plots.COLOURS["data"], alpha=0.6)
                if len(errors):
                    reach = [mean - errors[row], mean + errors[row]]
                    axes.plot(reach, [row, row], color=plots.COLOURS["condition"], linewidth=3)
        left.set(yticks=range(4), yticklabels=entrants, xlabel=self.measure)
        left.invert_yaxis()
        right.axvline(0, color="black", linewidth=0.8)
        right.set(xlabel=f"less {entrants[self.rival]}")
        return figure


def standard_errors(values: np.ndarray) -> np.ndarray:
    """Of the mean of each row; nothing for a single column, which has no spread."""
    n = values.shape[1]
    return values.std(axis=1, ddof=1) / n**0.5 if n > 1 else np.zeros(0)
