"""Checks `red_green`: networks that read location fail at positions without training images."""

import numpy as np

from qi_datasets.networks.features import Images, extract_features
from qi_datasets.networks.padding import PADDINGS, Padding
from qi_datasets.networks.random_weights import random_seed
from qi_datasets.networks.reference import RedGreenNet
from qi_datasets.networks.tolerance import is_equal, relative_difference
from qi_datasets.progress import bar_over
from qi_datasets.protocols.red_green import EPOCHS, Epoch, LabelledImages, RedGreenRun, train_red_green
from qi_datasets.verification.report.report import Cell, Check, CheckResults, Curve, Plot, Status, Table
from qi_datasets.verification.separability.options import NetworkOptions
from qi_datasets.verification.stored_folder import StoredFolder

TESTS = ("test_similar", "test_dissimilar")
BLIND: tuple[Padding, ...] = ("circular", "full")
RANDOM_NETS, FULL_RANDOM_NETS = 1, 3
ENOUGH = 200
"""Number of rows that show that answers differ; to show that they are alike, all rows are used."""
FULL_SEEDS = 10

PAPER = {"valid": (100.0, 0.2), "same": (99.8, 8.4), "circular": (73.7, 73.7), "full": (89.7, 89.7)}
"""Accuracy in % on the similar and on the dissimilar test (arXiv 2003.07064, experiment 2; 10 seeds)."""

REQUIRED = {"valid": (0.99, 0.02), "same": (0.98, 0.20)}
"""Smallest accuracy on the similar test and largest on the dissimilar one, of networks that read location."""


def check(stored: StoredFolder, options: NetworkOptions) -> CheckResults:
    """Checks random weights (full and circular answer both tests alike, row by row); with `full`, trained nets too."""
    images = {split: load(stored, split) for split in TESTS}
    checks, rows = [], []
    nets = FULL_RANDOM_NETS if options.full else RANDOM_NETS
    for padding in PADDINGS:
        tests = [images[split].images[: None if padding in BLIND else ENOUGH] for split in TESTS]
        worst, equal = random_difference(tests, padding, range(nets), options.device)
        cells = Cell(f"{worst:.1e}", {"difference": worst}), Cell("yes" if equal else "no", {"equal": equal})
        rows.append((padding, *cells))
        checks.append(judge_untrained(stored, padding, worst, equal))
    table = Table(
        "red_green: largest difference between the paired rows of the two tests, random weights",
        ("padding", "difference of scale", "equal"),
        tuple(rows),
    )
    trained = train(stored, options) if options.full else not_trained(stored)
    return CheckResults((*checks, *trained.checks), (table, *trained.tables), trained.figures)


def load(stored: StoredFolder, split: str) -> LabelledImages:
    """Reads all rows of a split."""
    rows = stored.count(stored.default_config, split)
    found, images = stored.rows_and_images(stored.default_config, split, 0, rows)
    return LabelledImages(images, np.array([row["label"] for row in found], np.int64))


def random_difference(tests: list[Images], padding: Padding, seeds: range, device: str) -> tuple[float, bool]:
    """Returns the largest relative difference between the logits of paired rows, and whether all count as equal.

    Args:
        tests: Images of the two tests, paired row by row.
        padding: The networks' padding.
        seeds: The networks' seeds.
        device: Device of torch.
    """
    worst, equal = 0.0, True
    for seed in seeds:
        with random_seed(seed):
            net = RedGreenNet(padding)
        logits = [extract_features(net, images, device=device) for images in tests]
        worst = max(worst, relative_difference(*logits))
        equal = equal and is_equal(*logits)
    return worst, equal


def judge_untrained(stored: StoredFolder, padding: Padding, worst: float, equal: bool) -> Check:
    """Checks that random networks of one padding answer the two tests alike exactly if they should.

    Args:
        stored: The set.
        padding: The networks' padding.
        worst: Largest relative difference between the logits of paired rows.
        equal: Whether all count as equal.
    """
    figure, name = f"{worst:.1e} of scale", f"{padding}, random weights"
    if padding in BLIND:
        cause = "" if equal else f"logits of paired rows differ by {figure}"
        meaning = "untrained, it answers both tests alike, row by row"
    else:
        cause = "logits of all paired rows are equal: the tests show this padding nothing" if equal else ""
        meaning = "untrained, it answers the tests differently: location reaches its answers"
    return Check(stored.name, name, Status.FAIL if cause else Status.PASS, figure, meaning, cause=cause)


def not_trained(stored: StoredFolder) -> CheckResults:
    """Returns the check that says that training was left out."""
    meaning = "accuracies of trained nets: add full=True (minutes per seed on a CPU; seeds=N)"
    return CheckResults((Check(stored.name, "trained nets", Status.LEFT_OUT, "", meaning),))


def train(stored: StoredFolder, options: NetworkOptions) -> CheckResults:
    """Trains by the paper's protocol, for every padding and seed."""
    data = {split: load(stored, split) for split in stored.spec.splits}
    seeds = range(options.seeds or FULL_SEEDS)
    tests = {split: data[split] for split in TESTS}
    runs: dict[Padding, list[RedGreenRun]] = {}
    with bar_over(f"{stored.name}, training", len(PADDINGS) * len(seeds) * EPOCHS, "epoch", options.progress) as bar:

        def count(_: Epoch) -> None:
            bar.update()

        for number, padding in enumerate(PADDINGS):
            runs[padding] = []
            for done, seed in enumerate(seeds, start=number * len(seeds) + 1):
                run = train_red_green(
                    data["train"], data["validation"], tests, padding, seed, device=options.device, progress=count
                )
                runs[padding].append(run)
                bar.update(done * EPOCHS - bar.n)  # it may have stopped early
    return CheckResults(
        tuple(judge_trained(stored, padding, of) for padding, of in runs.items()),
        (comparison(runs),),
        (training_curves(runs),),
    )


def accuracies(runs: list[RedGreenRun]) -> tuple[np.ndarray, np.ndarray]:
    """Returns accuracies on the similar and on the dissimilar test, one per seed."""
    similar, dissimilar = (np.array([run.accuracies[split] for run in runs]) for split in TESTS)
    return similar, dissimilar


def judge_trained(stored: StoredFolder, padding: Padding, runs: list[RedGreenRun]) -> Check:
    """Checks that networks of one padding behave as in the paper."""
    similar, dissimilar = (float(values.mean()) for values in accuracies(runs))
    figure = f"{similar:.1%} / {dissimilar:.1%}"
    if padding in BLIND:
        unequal = [run.seed for run in runs if not is_equal(*(run.logits[split] for split in TESTS))]
        worst = max(relative_difference(*(run.logits[split] for split in TESTS)) for run in runs)
        cause = f"seed {unequal[0]}: logits of paired rows differ, up to {worst:.1e} of scale" if unequal else ""
        meaning = f"{len(runs)} trained nets answer both tests alike, row by row (similar / dissimilar)"
    else:
        least, most = REQUIRED[padding]
        ok = similar >= least and dissimilar <= most
        cause = "" if ok else f"{figure}, but at least {least:.0%} and at most {most:.0%} are expected"
        meaning = f"{len(runs)} trained nets answer by location (similar / dissimilar)"
    status = Status.FAIL if cause else Status.PASS
    return Check(stored.name, f"{padding}, trained", status, figure, meaning, cause=cause)


def comparison(runs: dict[Padding, list[RedGreenRun]]) -> Table:
    """Returns a table of trained accuracies beside the paper's."""

    def cell(values: np.ndarray) -> Cell:
        text = f"{100 * values.mean():.1f}" + (f" ± {100 * values.std(ddof=1):.1f}" if len(values) > 1 else "")
        return Cell(text, {"accuracy": float(values.mean())})

    rows: list[tuple[str | Cell, ...]] = []
    for padding, of in runs.items():
        similar, dissimilar = accuracies(of)
        paper = [f"{figure:.1f}" for figure in PAPER[padding]]
        difference = max(relative_difference(*(run.logits[split] for split in TESTS)) for run in of)
        measured = Cell(f"{len(of)}", {"seeds": len(of)}), cell(similar), cell(dissimilar)
        rows.append((padding, *measured, *paper, Cell(f"{difference:.1e}", {"difference": difference})))
    return Table(
        "red_green: accuracy in % on the two tests",
        ("padding", "seeds", "similar", "dissimilar", "paper similar", "paper dissimilar", "paired rows differ by"),
        tuple(rows),
        "Mean and standard deviation over seeds. The paper's test sets repeat training images, these don't.",
    )


def training_curves(runs: dict[Padding, list[RedGreenRun]]) -> Plot:
    """Returns a plot of validation loss by epoch, of each padding's first seed."""
    curves = tuple(
        Curve(
            f"{padding}, seed {of[0].seed}",
            tuple(float(epoch.number) for epoch in of[0].epochs),
            tuple(epoch.validation_loss for epoch in of[0].epochs),
        )
        for padding, of in runs.items()
    )
    caption = "Training stops after 8 epochs without a better validation loss, and the best weights are restored."
    return Plot("Red-green: validation loss", caption, "epoch", "cross-entropy", curves)
