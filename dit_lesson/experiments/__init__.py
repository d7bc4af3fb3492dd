"""Everything that is trained for the book: a recipe is a value, an experiment can stop and go on.

``python -m dit_lesson.experiments`` lists them; results are data, read by `read_result`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from dit_lesson.checkpoints import read_record, write_atomically
from dit_lesson.training import Recipe
from dit_lesson.validation import require

RESULTS = Path(__file__).parent / "results"
THREADS = 1
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Comparison:
    """Runs that are compared with each other, each of some settings and a seed.

    Args:
        recipe: of every run.
        settings: of each run, by name; they tell the runs apart.
        run: called as ``run(recipe, **settings)``; gives what was measured, by name.
        shared: what else all runs have in common, for the record.
    """

    recipe: Recipe
    settings: Sequence[Mapping[str, Any]]
    run: Callable[..., dict[str, Any]]
    shared: Mapping[str, Any] = field(default_factory=dict)


def settings(names: str, options: list[tuple], seeds: tuple[int, ...] = SEEDS) -> list[dict]:
    """One dict for each option and seed, for example of ``"pool positions"``."""
    return [
        dict(zip(names.split(), option, strict=True)) | {"seed": seed}
        for option, seed in product(options, seeds)
    ]


def compare(name: str, comparison: Comparison, directory: Path = RESULTS) -> None:
    """Make the runs that ``name.json`` does not hold yet, and add each to it when it is done.

    So it may be stopped, or killed, at any time: it goes on with the run that was lost.

    Raises: ValueError if the file has runs of another recipe or other versions, and runs are
    missing.
    """
    path = directory / f"{name}.json"
    head = record(comparison.recipe) | dict(comparison.shared)
    head = json.loads(json.dumps(head))  # tuples become lists, as they are in the file
    result = json.loads(path.read_text()) if path.is_file() else head | {"runs": []}
    runs = result["runs"]
    missing = [s for s in comparison.settings if not any(s.items() <= run.items() for run in runs)]
    require(
        not missing or all(result.get(key) == value for key, value in head.items()),
        f"compare: {path.name} has runs of another recipe or of other versions, expected the same; "
        "remove it to begin anew",
    )
    print(f"{name}: {len(missing)} of {len(comparison.settings)} runs to make", flush=True)
    for settings in missing:
        run = dict(settings) | comparison.run(comparison.recipe, **settings)
        runs.append(run)
        runs.sort(  # in the order of the settings, whichever were lost
            key=lambda run: [s.items() <= run.items() for s in comparison.settings], reverse=True
        )
        write_atomically(path, (json.dumps(result, indent=2) + "\n").encode())
        print(f"{name}: {run}", flush=True)


def record(recipe: Recipe, **more: Any) -> dict[str, Any]:
    """What every card and result says of how it was made."""
    return {
        "command": "make train",
        "threads": THREADS,
        "training": asdict(recipe) | more,
        "versions": {library: version(library) for library in ("torch", "numpy")},
    }


def shortened(comparison: Comparison, steps: int) -> Comparison:
    """The first and the last run for a few steps, to see that an experiment works."""
    ends = [comparison.settings[0], comparison.settings[-1]]
    return replace(comparison, recipe=replace(comparison.recipe, steps=steps), settings=ends)


def read_result(name: str, directory: Path = RESULTS) -> dict[str, Any]:
    """A comparison: its recipe, command and versions, and under "runs" what each run gave.

    Raises: FileNotFoundError naming what is there, if no result has that name.
    """
    return read_record("read_result", name, directory)


def spread(values: Sequence[float], digits: int, by_seed: bool = False) -> str:
    """A measured value of several seeds: median (smallest, largest), or one after the other.

    Args:
        values: one for each seed; if they are all the same, as a cost is, it stands alone.
        digits: behind the point.
        by_seed: whether each stands for itself, in the order of the seeds.
    """
    if by_seed:
        return " ".join(f"{value:.{digits}f}" for value in values)
    if min(values) == max(values):
        return f"{values[0]:.{digits}f}"
    middle, low, high = (f"{v:.{digits}f}" for v in (median(values), min(values), max(values)))
    return f"{middle} ({low}, {high})"


def table(
    name: str,
    by: str,
    measured: Mapping[str, int],
    across: str = "",
    by_seed: bool = False,
    directory: Path = RESULTS,
) -> str:
    """What `read_result` has, as text: a line for each setting, a column for each `spread`.

    What a run measured by its number of steps counts as that many runs, with a setting "steps".
    A value inside others is named by its path, as in "streamed.distance"; its column by the end.

    Args:
        name: of the comparison.
        by: the settings that tell the lines apart, for example "kind rank".
        measured: what is shown, with its digits behind the point.
        across: a setting with a column for each of its values, where one value is measured.
        by_seed: as in `spread`.
        directory: where the results lie.
    """
    cells: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for run in read_result(name, directory)["runs"]:
        for steps, found in run["steps"].items() if "steps" in run else [(None, run)]:
            found = run | found | {"steps": steps}
            line = tuple(str(found[key]) for key in by.split())
            for key in measured:
                column = f"{across} {found[across]}" if across else key.split(".")[-1]
                cells.setdefault(line, {}).setdefault(column, []).append(_inside(found, key))
    (head,) = {tuple(columns) for columns in cells.values()}
    digits = list(measured.values()) * (len(head) if across else 1)
    rows = [(*by.split(), *head)]
    for line, columns in cells.items():
        texts = (spread(v, n, by_seed) for v, n in zip(columns.values(), digits, strict=True))
        rows.append((*line, *texts))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{text:{n}}" for text, n in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _inside(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value[int(part) if isinstance(value, list) else part]
    return value
