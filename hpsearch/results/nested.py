"""Nested cross-validation: the whole search inside each outer split, scored on rows that it never saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch import seeds
from hpsearch.data.splits import SPLITTERS, Split, make_splits
from hpsearch.data.units import independent_units
from hpsearch.definition.study import StudyDefinition
from hpsearch.markup import table, text
from hpsearch.model.retrain import fit_prepared
from hpsearch.numbers import setting_text
from hpsearch.results.best import Best, find_best
from hpsearch.search.coordinator import Progress
from hpsearch.search.correction import has_equal_shares, loss_with_rows
from hpsearch.search.objective import Prepared, divide
from hpsearch.search.run import executor_for, owned, search
from hpsearch.validation.estimates import Estimate, interval_of_loss, mean_of_rows
from hpsearch.validation.learning_curve import Point, on_all_rows, reach
from hpsearch.validation.metric import AdditiveMetric
from hpsearch.validation.metrics import METRICS, objective_metric, shown
from hpsearch.validation.score import SCORE_NAMES, Scored
from hpsearch.validation.selection import Corrected
from hpsearch.validation.stratification import stratified_optimism


@dataclass(frozen=True)
class OuterResult(Scored):
    """One outer split.

    Attributes:
        study: the stored study of its search.
        training_rows, validation_rows: how many.
        trial: the chosen one.
        searched: its objective value, on the inner splits: optimistic.
        loss, score: of the chosen configuration, retrained on all training rows, on the validation rows.
        objective: likewise the study's objective; None where it is undefined on these rows.
        chosen: what its search chose, with the epochs of the chosen checkpoint.
        corrected: what its search says that the chosen configuration scores on new rows; None where it cannot tell.
    """

    study: str
    training_rows: int
    validation_rows: int
    trial: int
    searched: float
    loss: float
    objective: float | None
    chosen: dict[str, Any]
    corrected: float | None = None


@dataclass(frozen=True)
class Nested(Scored):
    """What searching and retraining as a whole lose on new rows, and how much their choice varies.

    Attributes:
        loss: over all validation rows of the outer splits; each network was trained and chosen without them.
        on_all_rows: the same, extrapolated to what is searched for and trained on all rows along the learning curves of
            the outer splits' finals; None where they have none.
        corrected: the corrected score of the study itself, where it too is a loss of what is trained on all rows.
        shipped: what the study ships loses, from the two before; None where there is no ``on_all_rows``.
        score: the accuracy likewise; R² as the mean over the outer splits, None where one of them leaves it undefined.
        objective: what the searches searched for, of ``METRICS``.
        value: its mean over the outer splits; None where one of them leaves it undefined.
        loss_name: which loss it is.
        splits: one result an outer split.
    """

    loss: Estimate
    on_all_rows: Estimate | None
    corrected: float | None
    shipped: Estimate | None
    objective: str
    value: float | None
    loss_name: str
    splits: tuple[OuterResult, ...]

    def __repr__(self) -> str:
        return f"Nested cross-validation of {len(self.splits)} outer splits: {self._estimate}"

    def _repr_html_(self) -> str:
        names = [*self.chosen]
        rows = [
            [number, one.training_rows, one.validation_rows, one.searched, one.loss, one.score]
            + [setting_text(one.chosen.get(name, "–")) for name in names]
            for number, one in enumerate(self.splits)
        ]
        heads = ["outer split", "training rows", "validation rows", "search", "loss", str(self.score_name), *names]
        return f"{table(heads, rows, 'Nested cross-validation')}<p>Estimate: {text(self._estimate)}</p>"

    @property
    def _estimate(self) -> str:
        """The loss to believe, for reading."""
        sure, metric = self.shipped or self.loss, objective_metric("loss", self.loss_name)
        title = "loss" if metric.root is None else metric.root.title
        between = (
            "" if sure.low is None else f", 95 % interval {shown(sure.low, metric)} to {shown(sure.high or 0, metric)}"
        )
        of = "what the study ships" if self.shipped is not None else "searching and retraining on fewer rows"
        return f"{title} {shown(sure.mean, metric)}{between}; of {of}"

    @property
    def chosen(self) -> dict[str, list[Any]]:
        """What the searches chose: for each hyperparameter one value an outer split, None where it did not exist."""
        names = dict.fromkeys(name for split in self.splits for name in split.chosen)
        return {name: [split.chosen.get(name) for split in self.splits] for name in names}


def nested(
    prepared: Prepared,
    outer: int,
    url: str,
    workers: int = 1,
    *,
    on_begin: Callable[[str], None] = lambda name: None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Nested:
    """Search inside each outer split, retrain what its search chose, and score it on the split's validation rows.

    Before that comes the study itself, whose corrected score is the other half of the estimate of what it ships. Each
    search is a stored study of its own, so what was interrupted goes on where it stopped, and a study that was run
    already is not run again. Rows held out are never used.

    Args:
        prepared: the study with its rows.
        outer: outer splits, by the study's splitter.
        url: where the searches are kept.
        workers: local processes that train; 1 trains in this one.
        on_begin: told the name of each search before it begins.
        on_progress: told the progress of each search.

    Raises:
        HpsearchError: rows that cannot be split so, twice; a storage that cannot be used; a search without a complete
            trial.
    """
    definition = prepared.definition
    pairs = list(outer_studies(prepared, outer))
    results, losses, predictions = [], [], []
    curves: list[tuple[Point, Point]] = []

    def searched(study: Prepared, curves: list[tuple[Point, Point]]) -> Best:
        on_begin(study.definition.name)
        with executor_for(workers) as executor, owned(study, url, study.audit()) as stored:
            search(study, stored, executor, on_progress=on_progress, baselines=study is prepared)
            best = find_best(stored)
            if best.final is not None and best.of_ensemble:
                curve = loss_with_rows(stored, best.final)
                curves += [] if curve is None else [curve]
            return best

    whole = searched(prepared, [])
    for split, inner in pairs:
        best = searched(inner, curves)
        model = fit_prepared(inner, best.config)
        validation = prepared.search.take(split.validation)
        score = model.score(validation)
        losses.append(model.row_losses(validation))
        predictions.append(model.predictions(validation.features))
        results.append(
            OuterResult(
                study=best.definition.name,
                training_rows=len(split.training),
                validation_rows=len(split.validation),
                trial=best.result.number,
                searched=float(best.result.value or 0),
                loss=score["loss"],
                score=score[best.score_name],
                score_name=best.score_name,
                objective=model.measure(validation, definition.metric),
                chosen={**best.chosen, "epochs": best.config.epochs},
                corrected=None if best.corrected is None else best.corrected.value,
            )
        )
    splits = [split for split, _ in pairs]
    optimism, rows = 0.0, np.concatenate([split.validation for split in splits])
    if has_equal_shares(definition, prepared.search.weights):
        optimism = stratified_optimism(prepared.search.labels[rows], np.concatenate(predictions), len(rows))
    of_all = curves if len(curves) == len(pairs) else []
    # A study that was run on to more trials than these searches is another one.
    corrected = whole.corrected if whole.trials <= definition.limit else None
    return _summary(prepared, splits, results, losses, of_all, optimism, corrected)


def outer_studies(prepared: Prepared, outer: int) -> Iterator[tuple[Split, Prepared]]:
    """Each outer split of the rows to search with, and the study that searches within its training rows.

    Raises:
        DataError: rows that cannot be split so, twice.
    """
    definition = prepared.definition
    validation = definition.validation
    options = replace(validation.split_options, n_splits=outer, repeats=1)
    splits = make_splits(prepared.search, validation.splitter, options, seeds.integer_seed(definition.seed, "outer"))
    for split in splits:
        name = f"{definition.name[:80]}.outer-{split.fold + 1}-of-{len(splits)}"
        raw = {**definition.raw, "study": {**definition.raw["study"], "name": name}}
        inner = StudyDefinition.from_mapping(raw, definition.folder)
        yield split, divide(inner, prepared.search.take(split.training), None)


def _summary(
    prepared: Prepared,
    splits: Sequence[Split],
    results: Sequence[OuterResult],
    losses: Sequence[NDArray[Any]],
    curves: Sequence[tuple[Point, Point]],
    optimism: float,
    corrected: Corrected | None,
) -> Nested:
    """The estimate from all outer splits, with the losses of the validation rows of each, their learning curves, and
    the study's corrected score."""
    rows = np.concatenate([split.validation for split in splits])
    units = np.unique(independent_units(prepared.search)[rows], return_inverse=True)[1]
    of_rows = prepared.search.weights
    counts = [r.validation_rows for r in results] if of_rows is None else [of_rows[s.validation].sum() for s in splits]
    weights = None if of_rows is None else of_rows[rows]
    apart = SPLITTERS[prepared.definition.validation.splitter].needs != "times"
    sure = mean_of_rows(np.concatenate(losses), units, len(splits), weights, independent=apart)

    def mean(name: str, weights: Any = None) -> float | None:
        values = [getattr(result, name) for result in results]
        return None if None in values else float(np.average(values, weights=weights))

    objective = prepared.definition.search.objective
    name = SCORE_NAMES[prepared.definition.data.predicts]
    # Over rows, as the loss is, where it has a value of each; the objective may have none.
    score = mean("score", counts if isinstance(METRICS[name], AdditiveMetric) else None)
    loss_name = prepared.definition.loss
    training_rows = float(np.mean([len(split.training) for split in splits]))
    on_all = _on_all_rows(sure, optimism, curves, training_rows, prepared.search.rows)
    if objective != "loss" or corrected is None or corrected.more_rows is None:
        corrected = None  # not of the same number
    return Nested(
        loss=sure,
        on_all_rows=on_all,
        corrected=None if corrected is None else corrected.value,
        shipped=on_all if on_all is None or corrected is None else _together(on_all, corrected),
        objective=objective,
        value=mean("objective"),
        loss_name=loss_name,
        splits=tuple(results),
        score=score,
        score_name=name,
    )


def _together(nested: Estimate, corrected: Corrected) -> Estimate:
    """The mean of two estimates of the same loss, as unsure as the less sure of them.

    Searches that see fewer rows may choose worse, which is in no learning curve: alone the nested estimate is too high,
    and its interval, which knows nothing of the choice's own luck, too narrow. The corrected score sees all rows, and
    its choice has seen them too. Both are made of the same rows, so their errors go together and their mean is not
    taken for surer than either. Measured in tests/benchmarks/honesty.py.
    """
    assert nested.standard_error is not None
    assert corrected.standard_error is not None
    mean, error = (nested.mean + corrected.value) / 2, max(nested.standard_error, corrected.standard_error)
    return Estimate(mean, error, *interval_of_loss(mean, error, nested.splits), nested.splits)


def _on_all_rows(
    sure: Estimate, optimism: float, curves: Sequence[tuple[Point, Point]], training_rows: float, rows: int
) -> Estimate | None:
    """An estimate for networks of so many training rows, extrapolated along the outer splits' learning curves.

    First its optimism is taken away (:mod:`hpsearch.validation.stratification`).

    Those curves are of fewer rows still. The searches of all outer splits are taken together. The interval leaves out
    how sure their curve is, so it is extrapolated by no more than the step that was measured.
    """
    if not curves or sure.standard_error is None:
        return None
    few, many = (Point(*np.mean(points, axis=0)) for points in zip(*curves, strict=True))
    how_far = reach(few.rows, many.rows, rows, training_rows)
    if how_far > 1:
        return None
    ratio = float(on_all_rows(np.ones(1), np.array([many.loss]), np.array([few.loss]), how_far, METRICS["loss"])[0])
    mean, error = (sure.mean + optimism) * ratio, sure.standard_error * ratio
    return Estimate(mean, error, *interval_of_loss(mean, error, sure.splits), sure.splits)
