"""``python -m dit_lesson.experiments``: make what ships with the book again, or go on with it."""

import argparse

import torch

from dit_lesson.experiments import (
    RESULTS,
    THREADS,
    compare,
    comparisons,
    conditions,
    controls,
    guidance,
    knobs,
    longer,
    masking,
    omni,
    race,
    scaling,
    spiral,
    start,
    streaming,
    successors,
    variance,
    words,
)
from dit_lesson.experiments.shipped import SHIPPED, make

COMPARISONS = (
    comparisons.COMPARISONS
    | conditions.COMPARISONS
    | spiral.SPIRALS
    | race.RACES
    | knobs.KNOB_COMPARISONS
    | longer.LONGER_COMPARISONS
    | start.STARTS
    | scaling.SCALING_COMPARISONS
    | guidance.GUIDANCE
    | variance.VARIANCES
    | successors.SUCCESSOR_COMPARISONS
    | controls.CONTROLS
    | words.WORDS_COMPARISONS
    | masking.MASKING_COMPARISONS
    | streaming.STREAMING_COMPARISONS
    | omni.OMNI_COMPARISONS
)


def main(arguments: list[str] | None = None) -> None:
    """Make the experiments that are named, in their order."""
    names = [*SHIPPED, *COMPARISONS]
    parser = argparse.ArgumentParser(
        prog="python -m dit_lesson.experiments",
        description="Train what ships with the book. Weights are trained anew; a comparison makes "
        "the runs that its result does not hold yet, so it may be stopped and goes on.",
        epilog=f"weights: {', '.join(SHIPPED)}; comparisons: {', '.join(COMPARISONS)}",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to make; nothing: all")
    parser.add_argument("--anew", action="store_true", help="remove the named results first")
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in names:
            parser.error(f"there is no experiment {name!r}, expected some of: {', '.join(names)}")
    torch.set_num_threads(THREADS)
    for name in options.names or names:
        if name in SHIPPED:
            make(name)
            continue
        if options.anew:
            (RESULTS / f"{name}.json").unlink(missing_ok=True)
        compare(name, COMPARISONS[name])


if __name__ == "__main__":
    main()
