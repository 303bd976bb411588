"""What a study's results say about its study file: plain sentences, each with the line to change.

Each check is a function of what is stored. It speaks only where the rows or the trials prove it: on a study that is
fine, noise alone must not make it speak.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import ValidationError

from hpsearch.arrays import Floats
from hpsearch.definition.dimension import Dimension
from hpsearch.definition.space import split_name
from hpsearch.definition.study import StudyDefinition, as_key
from hpsearch.errors import DefinitionError, Setting, Text, worded
from hpsearch.numbers import readable, setting_text
from hpsearch.search.baselines import Comparison, Shipped
from hpsearch.search.finals import Choice
from hpsearch.storage.trial_result import TrialResult, ranked
from hpsearch.validation.config import Config
from hpsearch.validation.estimates import mean_of_rows
from hpsearch.validation.metric import predicted
from hpsearch.validation.metrics import shown
from hpsearch.validation.paired import paired_difference

NEAR = 0.05  # of a range: a value so near its end lies at the edge
# Of trials: as many that ended say something about a hyperparameter; the best quarter of them leads, but at most ten.
FEWEST_TRIALS, MOST_LEADING = 20, 10
RARELY = 0.01  # chance alone may so often make one of a study's hyperparameters look as if it mattered
HARDLY = 0.2  # a class predicted for less than this share of the rows that it has is hardly ever predicted
FEWEST_OF_CLASS = 10  # independent rows, to say anything of a class
LITTLE = 0.02  # of what a model without columns scores: a network that is no further from it has learnt hardly anything
PROVEN = 1.5  # half intervals at 95 %: three standard errors
ERRORS = 3.3  # standard errors: chance alone goes as far once in a thousand studies
MATERIAL = 0.05  # the least share of the loss, or part of a slope of 1, by which predictions must be off
# A few rows carry the loss where at most this share of them has as much of it, and its mean is as skewed.
FEW, CARRIED, SKEWED = 0.05, 0.45, 0.25


@dataclass(frozen=True)
class Diagnosis:
    """One thing that could be better.

    Attributes:
        name: of the check, in ``CHECKS``.
        what: what was found, a sentence.
        do: what to change, which names settings; in the end one text.
    """

    name: str
    what: str
    do: Text

    def __str__(self) -> str:
        return f"{self.what} {worded(self.do, as_key)}"


@dataclass(frozen=True)
class Observed:
    """What is looked at.

    Attributes:
        definition: the study's.
        results: of the trials that ended, by number.
        chosen: the hyperparameters of every trial, by number.
        best: the chosen trial, complete.
        final: what the finals chose, if they did.
        comparison: with the baselines, where it is known.
        shipped: the out-of-fold predictions, where they are known.
    """

    definition: StudyDefinition
    results: Sequence[TrialResult]
    chosen: Sequence[Mapping[str, Any]]
    best: TrialResult
    final: Choice | None = None
    comparison: Comparison | None = None
    shipped: Shipped | None = None

    @property
    def finished(self) -> list[TrialResult]:
        """The trials that say something about their hyperparameters: the complete and the pruned ones."""
        return [result for result in self.results if result.state in ("COMPLETE", "PRUNED")]

    @property
    def leading(self) -> list[TrialResult]:
        """The best complete trials; none where there are too few trials to tell."""
        finished = len(self.finished)
        if finished < FEWEST_TRIALS:
            return []
        return ranked(self.results, self.definition.metric)[: min(MOST_LEADING, finished // 4)]

    def values(self, name: str, results: Sequence[TrialResult]) -> list[Any]:
        """What the search chose for a hyperparameter, in those of the trials that have it."""
        return [self.chosen[result.number][name] for result in results if name in self.chosen[result.number]]

    @property
    def networks(self) -> int:
        """How many networks the rows were divided among, in one repeat of the splits."""
        return len(self.best.folds) // self.definition.validation.repeats


def _edges(seen: Observed) -> Iterator[Diagnosis]:
    """The best value of a range lies at its end, and the leading trials lie nearer to it than the others."""
    leading = seen.leading
    others = [result for result in seen.finished if result not in leading]
    searched = seen.definition.space.dimensions
    for name, dimension in searched.items():
        value = seen.chosen[seen.best.number].get(name)
        place = None if value is None else dimension.place(value)
        if place is None or NEAR < place < 1 - NEAR:
            continue
        high = place > 0.5
        near, far = (
            [abs(high - (dimension.place(at) or 0.0)) for at in seen.values(name, group)] for group in (leading, others)
        )
        wider = _wider(name, dimension, high)
        if wider is None or not _lower(near, far, RARELY / len(searched)) or np.median(near) > 1 / 3:
            continue
        end = f"{'upper' if high else 'lower'} end of its range, {dimension.describe()}"
        yield Diagnosis(
            "edge",
            f"The best {name}, {setting_text(value)}, lies at the {end}, and the {len(near)} leading trials crowd "
            "there: better values may lie beyond.",
            ("Widen it: ", Setting(f"space.{name}", wider), "."),
        )


def _lower(some: Sequence[float], others: Sequence[float], level: float) -> bool:
    """Whether some numbers are lower than the others by more than chance explains (a Mann–Whitney test)."""
    from scipy.stats import mannwhitneyu

    if not some or not others:
        return False
    return bool(mannwhitneyu(some, others, alternative="less").pvalue < level)


def _wider(name: str, dimension: Dimension, high: bool) -> dict[str, Any] | None:
    """The dimension with one end further out, as a study file writes it; None where there can be nothing beyond."""
    low_end, high_end = dimension.extremes
    whole, span = dimension.int_ is not None, high_end - low_end
    if dimension.log:
        factor = 4 if whole else 10
        lower = max(low_end // factor, 1) if whole else low_end / factor
        ends = (low_end, high_end * factor) if high else (lower, high_end)
    else:
        step = dimension.step or (1 if whole else span / 2)
        more = step * max(1, round(span / 2 / step))
        ends = (low_end, high_end + more) if high else (max(low_end - more, 0), high_end)
    rounded = tuple(int(end) if whole else float(f"{end:.6g}") for end in ends)
    key, kind = split_name(name)[1], "int" if whole else "float"
    try:
        for end in rounded:
            Config.model_validate({key: end})
        wider = Dimension.model_validate({**dimension.model_dump(by_alias=True, exclude_defaults=True), kind: rounded})
    except (ValidationError, DefinitionError):
        return None
    if wider.extremes == dimension.extremes:
        return None
    written = wider.model_dump(by_alias=True, exclude_defaults=True)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in written.items()}


def _checkpoint(seen: Observed) -> Iterator[Diagnosis]:
    """The best checkpoint is the last or the first, and the rows prove that its neighbour is worse."""
    definition, shipped = seen.definition, seen.shipped
    if shipped is None or len(shipped.epochs) < 2 or shipped.layout.units is None:
        return
    epochs, metric, train = shipped.epochs, definition.metric, definition.train

    def proven(worse: int, better: int) -> bool:
        found = paired_difference(
            shipped.scores(worse), shipped.scores(better), metric, shipped.layout.classes, seen.networks
        )
        return found.half is not None and metric.sign * found.value > PROVEN * found.half

    def at(epoch: int) -> str:
        return f"{shown(shipped.scores(epoch).whole(metric, shipped.layout.classes), metric)} at epoch {epoch}"

    first, last = epochs[0], epochs[-1]
    earlier = min(epochs, key=lambda epoch: abs(epoch - 0.75 * last))
    if len(epochs) > 2 and shipped.epoch == last >= definition.most_epochs and proven(earlier, last):
        most = definition.space.dimensions.get("epochs")
        if most is None:
            setting = Setting("train.epochs", 2 * last)
        else:
            setting = Setting("space.epochs", _wider("epochs", most, True) or 2 * last)
        yield Diagnosis(
            "last-checkpoint",
            f"The best checkpoint is the last, and the {metric.title_of_mean} was still getting better: {at(earlier)}, "
            f"{at(last)}.",
            ("Train longer: ", setting, "."),
        )
    elif shipped.epoch == first and proven(epochs[1], first):
        every = definition.evaluate_every
        look: Text = ("Look more often: ", Setting("train.evaluate_every", max(1, every // 5)), ".")
        rate = Setting(f"{'space' if 'learning_rate' in definition.space.dimensions else 'train'}.learning_rate")
        yield Diagnosis(
            "first-checkpoint",
            f"The best checkpoint is the first, and from there on the {metric.title_of_mean} got worse: {at(first)}, "
            f"{at(epochs[1])}.",
            look if every > 1 and train is not None else ("Learn more slowly: lower ", rate, "."),
        )


def _agreement(seen: Observed) -> Iterator[Diagnosis]:
    """All leading trials have made one and the same choice, more often than chance explains."""
    leading, finished = seen.leading, seen.finished
    choices = {name: of for name, of in seen.definition.space.dimensions.items() if of.choice and len(of.choice) > 1}
    for name in choices:
        made, all_made = seen.values(name, leading), seen.values(name, finished)
        if len(made) < len(leading) or not made or len(set(made)) > 1:
            continue
        alike, total = all_made.count(made[0]), len(all_made)
        # That as many trials drawn at random would all agree on it.
        chance = np.prod([(alike - i) / (total - i) for i in range(len(made))])
        if chance >= RARELY / len(choices):
            continue
        do: Text = ("Set ", Setting(f"train.{name}", made[0]), " and leave it out of ", Setting("space"), ".")
        if split_name(name)[0] is not None:
            do = ("Leave the other choices out of ", Setting(f"space.{name}"), ".")
        yield Diagnosis(
            "agreement",
            f"The {len(made)} leading trials all have {name} = {setting_text(made[0])}, and {alike} of all {total}: "
            "the search need not choose it any more.",
            do,
        )


def _baselines(seen: Observed) -> Iterator[Diagnosis]:
    """A baseline is better, or the network is hardly better than one that looks at no column."""
    if seen.comparison is None:
        return
    metric = seen.definition.metric
    for one in seen.comparison.baselines:
        if one.value is None or one.difference is None or one.half is None:
            continue
        if metric.sign * one.difference > PROVEN * one.half:
            yield Diagnosis(
                "baseline",
                f"The network is worse than {one.phrase}: {shown(seen.comparison.value, metric)} against "
                f"{shown(one.value, metric)}.",
                ("Use that model, or widen ", Setting("space"), " and search longer: ", _more_trials(seen), "."),
            )
        elif one.name == "constant" and (
            one.verdict(metric) == "alike" or abs(one.difference) < LITTLE * abs(one.value)
        ):
            yield Diagnosis(
                "baseline",
                f"The network is hardly better than {one.phrase}, for which no column is needed: "
                f"{shown(seen.comparison.value, metric)} against {shown(one.value, metric)}.",
                ("Give it other columns or more rows, or widen ", Setting("space"), "."),
            )


def _more_trials(seen: Observed) -> Setting:
    return Setting("search.trials", 2 * seen.definition.trials)


def _rare_class(seen: Observed) -> Iterator[Diagnosis]:
    """A class is hardly ever the most probable one."""
    shipped, definition = seen.shipped, seen.definition
    if shipped is None or shipped.predictions.shape[1] < 2:
        return
    layout = shipped.layout
    weights = np.ones(len(layout.rows)) if layout.weights is None else layout.weights
    units = layout.rows if layout.units is None else layout.units
    labels, classes = predicted(shipped.predictions), shipped.predictions.shape[1]
    names = seen.comparison.class_names if seen.comparison is not None else tuple(map(str, range(classes)))
    counted = weights > 0
    for label in range(classes):
        there = counted & (layout.labels == label)
        actual, told = float(weights[layout.labels == label].sum()), float(weights[labels == label].sum())
        if len(np.unique(units[there])) < FEWEST_OF_CLASS or told >= HARDLY * actual:
            continue
        settings: list[Setting] = []
        if definition.train.class_weight is None:
            settings.append(Setting("train.class_weight", "balanced"))
        if not definition.metric.needs_every_class:
            settings.append(Setting("search.objective", "balanced_accuracy"))
        whole = weights.sum()
        do: Text = ("If it must be found: ", *_joined(settings), ".") if settings else "It takes more rows of it."
        yield Diagnosis(
            "rare-class",
            f"The class {names[label]!r} is hardly ever predicted: it has {actual / whole:.1%} of the rows, and is the "
            f"most probable one in {told / whole:.1%}.",
            do,
        )


def _joined(settings: Sequence[Setting]) -> list[str | Setting]:
    parts: list[str | Setting] = []
    for number, setting in enumerate(settings):
        parts += [" and ", setting] if number else [setting]
    return parts


def _calibration(seen: Observed) -> Iterator[Diagnosis]:
    """Probabilities claim another loss than they have; or predictions of a target are too far apart, or too close.

    Networks whose probabilities are right lose the entropy of their predictions on average, whatever the classes are:
    the difference of both is 0 but for chance. Of a regression it is the slope of the targets on the predictions, 1 if
    they are right (Cox 1958); not where the loss is the absolute error, which predicts medians.
    """
    shipped, definition = seen.shipped, seen.definition
    if shipped is None or shipped.layout.units is None:
        return
    layout, predictions = shipped.layout, shipped.predictions.astype(np.float64)
    if predictions.shape[1] > 1:
        smallest = float(np.finfo(np.float32).eps)
        logs = np.log(np.clip(predictions, smallest, 1))
        losses, entropies = -logs[np.arange(len(logs)), layout.labels], -(predictions * logs).sum(axis=1)
        claimed, lost = (_mean(values, seen).mean for values in (entropies, losses))
        sure = _mean(losses - entropies, seen)
        if not _off(sure.mean, sure.standard_error, MATERIAL * max(claimed, lost)):
            return
        over = sure.mean > 0
        yield Diagnosis(
            "calibration",
            f"The probabilities are too {'sure' if over else 'cautious'}: by themselves they would lose "
            f"{readable(claimed)} nats a row, and they lose {readable(lost)}.",
            _calmer(definition) if over else _bolder(definition),
        )
        return
    if definition.loss != "squared_error":
        return
    ahead = predictions[:, 0] - _mean(predictions[:, 0], seen).mean
    spread = _mean(ahead**2, seen).mean
    if not spread > 0:
        return
    residuals = layout.labels - predictions[:, 0]
    residuals = residuals - _mean(residuals, seen).mean
    sure = _mean(ahead * residuals / spread, seen)  # the slope is above 1 by so much
    centred = replace(sure, standard_error=_mean(ahead * (residuals - sure.mean * ahead) / spread, seen).standard_error)
    if not _off(centred.mean, centred.standard_error, MATERIAL):
        return
    over = centred.mean < 0
    yield Diagnosis(
        "calibration",
        f"The predictions lie too {'far apart' if over else 'close together'}: where they differ by 1, the targets "
        f"differ by {1 + centred.mean:.2f} on average.",
        _calmer(definition) if over else _bolder(definition),
    )


def _mean(values: Floats, seen: Observed) -> Any:
    assert seen.shipped is not None
    layout = seen.shipped.layout
    return mean_of_rows(values, layout.units, seen.networks, layout.weights)


def _off(value: float, error: float | None, least: float) -> bool:
    return error is not None and abs(value) > ERRORS * error and abs(value) > least


def _calmer(definition: StudyDefinition) -> Text:
    """What makes networks less sure."""
    if definition.data.predicts == "classification" and definition.search.objective not in (
        "loss",
        "log_loss",
        "brier",
    ):
        return ("Search for what punishes it: ", Setting("search.objective", "loss"), ".")
    if definition.retrain.members == 1:
        return ("Average several networks: ", Setting("retrain.members", 8), ".")
    if "dropout" not in definition.space.dimensions:
        return ("Search for more restraint: ", Setting("space.dropout", {"float": [0.0, 0.5]}), ".")
    return ("Search for more restraint: ", Setting("space.weight_l2", {"float": [1e-5, 1.0], "log": True}), ".")


def _bolder(definition: StudyDefinition) -> Text:
    """What makes networks more sure."""
    if definition.train.class_weight is not None:
        return ("Class weights do that; if the probabilities matter, leave out ", Setting("train.class_weight"), ".")
    for name in ("dropout", "weight_l2"):
        if name in definition.space.dimensions:
            return ("Let the search choose less restraint: lower the range of ", Setting(f"space.{name}"), ".")
    return ("Train longer: ", Setting("train.epochs", 2 * definition.most_epochs), ".")


def _tail(seen: Observed) -> Iterator[Diagnosis]:
    """A few rows carry the loss of a regression, so that the interval of its mean is too narrow.

    Two things must hold of the U independent units. At most ``FEW`` of them carry ``CARRIED`` of the loss. And the mean
    is skewed by more than ``SKEWED``: Σd³ / (Σd²)^1.5 over what each unit adds to its distance from the mean. The first
    is about the tail and hardly about U. The second, the skewness of the losses over √U, is what the error of a
    Student interval follows (Johnson 1978, "Modified t tests and confidence intervals for asymmetrical populations"):
    with enough rows it falls silent.

    Both see the tail only as far as it was drawn. Where the rows that would show it are missing, the interval is the
    farthest off, and nothing is found. Simulated with squared errors of 100 to 3000 rows, J = 5: normal ones are never
    told, those of t(5) in 5 to 21 % of all samples (the interval holds the truth in 96 to 99 %), of t(3) in 58 to 88 %
    (82 to 90 %), of t(2.1) in 87 to 99 % (20 to 22 %).

    Classes are left alone: the loss of a row has a bound there, and intervals of simulated log losses held the truth
    nearly as often as they claim. So is R², which is no mean over rows.
    """
    shipped, metric = seen.shipped, seen.definition.metric
    if shipped is None or shipped.layout.units is None or metric.task != "regression" or metric.direction != "minimize":
        return
    counted = shipped.layout.counted()
    layout, losses = shipped.layout.take(counted), shipped.scores(shipped.epoch).values[counted].astype(np.float64)
    mean = float(losses @ layout.shares)
    if not mean > 0:
        return
    parts, units = losses / mean * layout.shares, np.unique(shipped.layout.units[counted], return_inverse=True)[1]
    carried, apart = np.bincount(units, parts), np.bincount(units, parts - layout.shares)
    most = np.cumsum(np.sort(carried)[::-1])
    few = int(np.searchsorted(most, CARRIED)) + 1
    if few > FEW * len(carried) or (apart**3).sum() <= SKEWED * (apart**2).sum() ** 1.5:
        return
    heaviest = units == carried.argmax()
    row = np.bincount(layout.rows[heaviest], parts[heaviest]).argmax()  # from 0, as in the audit
    single = len(carried) == len(np.unique(layout.rows))
    which = f"{'' if single else 'that of '}row {row}"
    verb, which = ("carries", which) if few == 1 else ("carry", f"{which} alone {most[0]:.0%}")
    yield Diagnosis(
        "tail",
        f"Of {len(carried):,} {'rows' if single else 'independent groups of rows'} {few} {verb} {most[few - 1]:.0%} of "
        f"the loss, {which}: where losses have such a tail, the interval of their mean is often too narrow.",
        _shorter_tail(seen.definition),
    )


def _shorter_tail(definition: StudyDefinition) -> Text:
    """What gives single rows less of the loss. (Target scalings do not: what is reported is in the target's unit.)"""
    settings: list[Setting] = []
    if definition.loss != "absolute_error":
        settings.append(Setting("train.loss", "absolute_error"))
    if definition.search.objective not in ("loss", "mae"):
        settings.append(Setting("search.objective", "mae"))
    if settings:
        return ("If a few rows must not decide: ", *_joined(settings), "; the networks then predict medians.")
    return "See whether these rows are right; if they are, it takes more rows."


CHECKS: dict[str, Callable[[Observed], Iterator[Diagnosis]]] = {
    "baseline": _baselines,
    "edge": _edges,
    "checkpoint": _checkpoint,
    "agreement": _agreement,
    "rare-class": _rare_class,
    "calibration": _calibration,
    "tail": _tail,
}


def diagnose(seen: Observed) -> tuple[Diagnosis, ...]:
    """All that the checks find, in their order, in the words of a study file."""
    found = [finding for check in CHECKS.values() for finding in check(seen)]
    return tuple(replace(finding, do=worded(finding.do, as_key)) for finding in found)
