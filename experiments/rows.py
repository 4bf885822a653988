"""Every experiment of runner.py: its rows, and what they differ in."""

from dataclasses import dataclass, field
from typing import Any

from lists import LABELS, data_of

from cmpl_zoo.pretext import TASKS


@dataclass(frozen=True)
class TableRow:
    """What a row of a table differs in.

    Attributes:
        options: of train/cmpl.py, instead of the recipe's.
        lists: which lists it learns from; see `make_lists`.
        judged: the networks whose mean probabilities are compared.
        start: the pretext task by which its networks have first learned from all videos without labels; from random
            weights by default.
    """

    options: dict[str, Any] = field(default_factory=dict)
    lists: str = f"uniform-{LABELS}"
    judged: tuple[str, ...] = ("primary",)
    start: str | None = None


ALONE = {"scheme": "none", "auxiliary": None}
FIXMATCH = {"scheme": "self", "auxiliary": None}
METHODS: dict[str, dict[str, Any]] = {"labels-alone": ALONE, "fixmatch": FIXMATCH, "cross": {}}
ONE_BATCH = {"strong_bn": "labeled"}
BOTH = ("primary", "auxiliary")
SCHEMES = {scheme: {"scheme": scheme} for scheme in ("self-first", "opposite-first", "maximum", "average", "cross")}
# What `lips-words-10` singled out, named before any run on other classes.
CONFIRMED = {"opposite-first": SCHEMES["opposite-first"]}
# A step of all labels learns from as many clips as one that has unlabeled ones: lips.yaml has 16 of each.
ALL_LABELS = ALONE | {"labeled_batch": 32}
AVERAGED = {"ema": 0.99}
LOW_RATE = {"lr": 0.02}
MOCAP13_PLUS = TableRow(AVERAGED, judged=BOTH)  # what helped of `beyond`: the recipe mocap13_plus
# On mocap13's held-out recordings (seed 100, 10 labels a class) random weights had 26.3 % at this rate and 23.7 % at
# the recipe's 0.1, a start by rotation 26.6 and 23.4 %.
FROM_START = ALONE | LOW_RATE
TOO_LONG_FOR_LIPS = {"order", "puzzle", "dpc"}
# The two tasks that gained most over three seeds of `pretraining-mocap13`, on held-out recordings.
BEST_STARTS = ("rotation", "motion")
STARTED: dict[str, tuple[dict[str, Any], str]] = {
    "5 labels": (FROM_START, "uniform-5"),
    "10 labels": (FROM_START, "uniform-10"),
    "all labels": (FROM_START, "all"),
    "cmpl": (LOW_RATE, "uniform-10"),
}
CAUSES: dict[str, dict[str, Any]] = {
    "lr 0.02": LOW_RATE,
    "threshold 0.5": {"threshold": 0.5},
    "threshold 0.9": {"threshold": 0.9},
    "soft labels": {"hard": False},
    "autoaugment": {"strong": "autoaugment"},
    "without cutout": {"cutout": False},
    "weak pass by running statistics": {"weak_bn": "running"},
    "one batch": ONE_BATCH,
    "lambda rises over 180 steps": {"unlabeled_warmup": 180},
    "720 steps": {"steps": 720},
}
AUXILIARIES: dict[str, dict[str, Any]] = {
    "equal": {"auxiliary": "the primary's"},
    "of 4 frames": {"auxiliary_frames": 4},
    "of 48 pixels": {"auxiliary_size": 48},
    "half": {"auxiliary": "r3d50_half"},
    "r3d18": {"auxiliary": "r3d18"},
    "tv_mc3_18": {"auxiliary": "tv_mc3_18"},
}
ADDED: dict[str, dict[str, Any]] = {
    "averaged weights": AVERAGED,
    "48 unlabeled clips a step": {"unlabeled_batch": 48},
}
# The best of `lips-beyond`, where three seeds of each row choose, and what of it two networks reach that do not teach
# each other.
VOTES: dict[str, dict[str, Any]] = {
    "cross, two equal networks vote": AUXILIARIES["equal"],
    "fixmatch, two equal networks vote": AUXILIARIES["equal"] | {"scheme": "self"},
}

EXPERIMENTS: dict[str, dict[str, TableRow]] = {
    # Table 1: which network labels which.
    "schemes": {
        "labels-alone": TableRow(ALONE),
        "fixmatch": TableRow(FIXMATCH),
        **{scheme: TableRow(options) for scheme, options in SCHEMES.items()},
        "all-labels": TableRow(ALONE, lists="all"),
    },
    # Table 4: how the labeled videos are drawn.
    "sampling": {"uniform": TableRow(), "category-wise": TableRow(lists=f"category-wise-{LABELS}")},
    # Table 2: unlabeled videos of classes that are not labeled.
    "transfer": {
        "half, labels-alone": TableRow(ALONE, lists="half-same"),
        "half, unlabeled of the same classes": TableRow(lists="half-same"),
        "half, unlabeled of the other classes": TableRow(lists="half-other"),
        "fights, labels-alone": TableRow(ALONE, lists="fights"),
        "fights, unlabeled mocap13": TableRow(lists="fights"),
    },
    "auxiliary": {
        **{f"{width}": TableRow({"auxiliary": f"r3d50_{width}"}) for width in ("eighth", "quarter", "half")},
        "equal": TableRow({"auxiliary": "the primary's"}),
        "r3d18": TableRow({"auxiliary": "r3d18"}),
        "quarter, stride 3": TableRow({"auxiliary": "r3d50_quarter", "auxiliary_stride": 3}),
    },
    "labels": {
        f"{method}, {count}": TableRow(options, lists=f"uniform-{count}")
        for count in (1, 2, 5, 10, 20)
        for method, options in METHODS.items()
    },
    # The above with ten labels alone, for more seeds than all of it can be run for.
    "ten-labels": {method: TableRow(options, lists="uniform-10") for method, options in METHODS.items()},
    # The recipe's rate, chosen for all rows together, and a lower one.
    "rates": {
        f"{method}{setting}": TableRow(METHODS[method] | options, lists="uniform-10")
        for setting, options in {"": {}, ", lr 0.02": LOW_RATE}.items()
        for method in METHODS
    },
    # Surer pseudo-labels.
    "threshold": {
        f"{method}, {tau}": TableRow(METHODS[method] | {"threshold": tau})
        for method in ("fixmatch", "cross")
        for tau in (0.7, 0.9)
    },
    # Strong views in batch norm's batch of the labeled clips, as concatenating all clips of a step makes it.
    "batch-norm": {
        "labels-alone": TableRow(ALONE),
        "fixmatch, one batch": TableRow(FIXMATCH | ONE_BATCH),
        "fixmatch": TableRow(FIXMATCH),
        "cross, one batch": TableRow(ONE_BATCH),
        "cross": TableRow(),
    },
    # What other work adds, off by default.
    "beyond": {
        "cross": TableRow(),
        "both networks vote": TableRow(judged=BOTH),
        "averaged weights": TableRow(AVERAGED),
        "averaged weights vote": MOCAP13_PLUS,
        "lambda from the first step": TableRow({"unlabeled_warmup": 0}),
    },
    "plus": {"cross": TableRow(), "mocap13_plus": MOCAP13_PLUS},
    "knobs": {
        "as the recipe": TableRow(),
        **{f"threshold {tau}": TableRow({"threshold": tau}) for tau in (0.3, 0.5, 0.8, 0.95)},
        **{f"lambda {weight}": TableRow({"lambda_u": weight}) for weight in (0.5, 2.0)},
        "soft labels": TableRow({"hard": False}),
        **{f"{count} unlabeled clips a step": TableRow({"unlabeled_batch": count}) for count in (16, 128)},
        "autoaugment": TableRow({"strong": "autoaugment"}),
        "randaugment without cutout": TableRow({"cutout": False}),
        "autoaugment without cutout": TableRow({"strong": "autoaugment", "cutout": False}),
        "weak pass by running statistics": TableRow({"weak_bn": "running"}),
    },
    # Table 1 on real footage, with as many seeds as tell the schemes apart, and the same recipe on other classes.
    **{
        f"lips-words-{count}": {
            **{row: TableRow(options, f"words-{count}") for row, options in (METHODS | SCHEMES).items()},
            **{row: TableRow(options, f"words-{count}", BOTH) for row, options in VOTES.items()},
            "all-labels": TableRow(ALL_LABELS, "words-all"),
            "all-labels-strong": TableRow(ALL_LABELS | {"labeled_view": "strong"}, "words-all"),
        }
        for count in (5, 10)
    },
    **{
        f"lips-phrases-{count}": {
            **{row: TableRow(options, f"phrases-{count}") for row, options in (METHODS | CONFIRMED).items()},
            **{row: TableRow(options, f"phrases-{count}", BOTH) for row, options in VOTES.items()},
            "all-labels": TableRow(ALL_LABELS, "phrases-all"),
        }
        for count in (5, 10)
    },
    # Why the pair is or is not ahead of one network: the recipe's settings one at a time, on held-out speakers.
    "lips-causes": {
        **{row: TableRow(options, "words-10") for row, options in METHODS.items()},
        "labels-alone, lr 0.02": TableRow(ALONE | LOW_RATE, "words-10"),
        **{
            f"{method}, {setting}": TableRow(METHODS[method] | options, "words-10")
            for setting, options in CAUSES.items()
            for method in ("fixmatch", "cross")
        },
        **{f"cross, auxiliary {row}": TableRow(options, "words-10") for row, options in AUXILIARIES.items()},
    },
    # Table 2: learning from the same videos without any label first. Left out is a task for which, by its small recipe,
    # more than a tenth of the videos are too short.
    "pretraining-mocap13": {
        "random weights": TableRow(FROM_START, "uniform-10"),
        "cmpl": TableRow(lists="uniform-10"),  # by the recipe, from random weights and the videos of the other rows
        **{task: TableRow(FROM_START, "uniform-10", start=task) for task in TASKS},
    },
    "pretraining-lips": {
        "random weights": TableRow(ALONE, "words-10"),
        "cmpl": TableRow(lists="words-10"),
        **{task: TableRow(ALONE, "words-10", start=task) for task in TASKS if task not in TOO_LONG_FOR_LIPS},
    },
    # Whether the best of these save labels, and whether they help CMPL; all at the rate that a start needs.
    "starts-mocap13": {
        f"{part}, {start or 'random weights'}": TableRow(options, lists, start=start)
        for part, (options, lists) in STARTED.items()
        for start in (None, *BEST_STARTS)
    },
    # What else could help where labels are fewest.
    "lips-beyond": {
        **{row: TableRow(options, "words-5") for row, options in METHODS.items()},
        **{
            f"{method}, {setting}": TableRow(METHODS[method] | options, "words-5")
            for setting, options in ADDED.items()
            for method in ("fixmatch", "cross")
        },
        "labels-alone, averaged weights": TableRow(ALONE | AVERAGED, "words-5"),
        "cross, two equal networks": TableRow(AUXILIARIES["equal"], "words-5"),
        **{
            f"cross, {setting}vote": TableRow(options, "words-5", BOTH)
            for setting, options in {
                "": {},
                "averaged weights ": AVERAGED,
                "two equal networks ": AUXILIARIES["equal"],
            }.items()
        },
    },
}


def data_set(experiment: str) -> str:
    """The name of the videos that an experiment is made on, `mocap13` or `lips`."""
    return data_of(next(iter(EXPERIMENTS[experiment].values())).lists)


def lists_needed(experiment: str) -> list[str]:
    """The lists of videos that an experiment needs, in the folder that holds the data sets."""
    if data_set(experiment) == "lips":
        spoken = next(iter(EXPERIMENTS[experiment].values())).lists.partition("-")[0]
        return [f"lips/{spoken}_train.csv", f"lips/{spoken}_test.csv"]
    return ["mocap13/train.csv", "mocap13/test.csv", *(["fights/videos.csv"] if experiment == "transfer" else [])]
