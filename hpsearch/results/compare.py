"""Two studies, two trials, or a study and a saved model on the same rows: which is better, and how sure is that?

Of two studies that searched on the same rows, what they ship is compared by their out-of-fold predictions, row by row.
The score of each is the best of many on these very rows, and the more a study has searched, the luckier is its score.
So the difference is not that of the two scores:

1. Both choices are made again on four fifths of the rows and looked at on the last fifth, the same fifths for both
   (:func:`~hpsearch.validation.selection.chosen_again`). The difference of what comes out has no luck of these choices.
2. Its interval is Student's. Its variance has, of the differences row by row, (2 - 1/J) s²/U and half the variance of
   the choices, c/2, as that of a corrected score has (:func:`~hpsearch.validation.selection.corrected`); both are of
   resamples that draw the same units for both sides.
3. Two studies trained their networks with different luck, and so will what they ship. What single networks score on
   average over the rows differs between the R repeats of the finals, by a variance V of each study: V/R is added.
4. Where an ensemble was chosen in the finals, its finalists were the best of a search on the same rows. How much luck
   that is lies between nothing and what the search's own corrected score says, 2 · o for an o that
   :func:`~hpsearch.search.correction.correct_shipped` adds. To subtract one study's o from the other's makes the
   difference worse, as both are noisy. So it is not added, but the variance of a number anywhere between 0 and twice
   the difference of both is: (o₁ - o₂)²/3.

That was chosen on rows of its own and measured on others (tests/benchmarks/comparing.py).

Two trials are compared likewise, one network a split; what is chosen again is the checkpoint. Whoever names two trials
has seen the table, so that the pair may be the best and the worst by luck. The interval is made for all pairs of
complete trials at once: the factor in the place of Student's is the 95 % quantile, over resamples, of the largest
studentised difference of any pair (Romano & Wolf 2005, "Exact and approximate stepdown methods for multiple hypothesis
testing", without the steps).

A saved model has trained on the study's rows. Only what it did not train on counts: the out-of-fold predictions of the
study that it was exported from, or the common hold-out. What the study itself ships is no other thing than the study.

What can be compared, and what each side chose, stands in :mod:`hpsearch.results.choice`; the pieces of the interval and
the sentence in :mod:`hpsearch.results.verdict`.
"""

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np

from hpsearch.data.splits import SPLITTERS
from hpsearch.data.units import independent_units
from hpsearch.errors import DataError, HpsearchError, StorageError
from hpsearch.model.bundle import Bundle
from hpsearch.model.retrain import fit_prepared
from hpsearch.numbers import times
from hpsearch.results.best import find_best
from hpsearch.results.choice import Asked, chosen_of, metric_of_both, require_same_rows
from hpsearch.results.verdict import (
    Compared,
    Side,
    compared,
    factor_of_any_pair_of,
    missing_interval,
    score_of,
    training_rows,
    turned,
    variance_of_difference,
)
from hpsearch.search.objective import prepare
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.validation.estimates import LEVEL, student
from hpsearch.validation.layout import Layout
from hpsearch.validation.paired import Scores, paired_difference

_LUCK = "A score that is the best of several is so partly by luck; the difference is not corrected for that."
_WITHOUT_LUCK = "A score that is the best of several is so partly by luck; the difference is corrected for that."
_EVALUATE = "Retrain the study's best and use `hpsearch evaluate` with both, on rows that neither has seen."


def compare(first: Asked, second: Asked, metric: str | None = None) -> Compared:
    """Two studies, two trials, or a study and a saved model.

    Args:
        first: the one.
        second: the other.
        metric: of ``METRICS``; what both search for if None, or the usual loss of the task where they differ.

    Raises:
        HpsearchError: one and the same thing twice, or two that cannot be compared; a metric of another task.
        DataError: other rows, or another hold-out; a model that trained on all rows that there are.
        StorageError: per-row results that are not there.
    """
    if first.stored is not None and second.stored is not None:
        return _out_of_fold(first, second, metric)
    if first.stored is None and second.stored is None:
        raise HpsearchError(
            "One of the two must be a study",
            "both are saved models",
            "Use `hpsearch evaluate` with each, on rows that neither has seen.",
        )
    if first.stored is None:
        return turned(_with_model(second, first, metric))
    return _with_model(first, second, metric)


def _out_of_fold(first: Asked, second: Asked, metric: str | None) -> Compared:
    assert first.stored is not None
    assert second.stored is not None
    if (first.stored.url, first.stored.name, first.trial) == (second.stored.url, second.stored.name, second.trial):
        raise HpsearchError("Two must be given to be compared", f"both are {first.name!r}")
    if (first.trial is None) != (second.trial is None):
        trial = second if first.trial is None else first
        raise HpsearchError(
            "Both must be studies, or both trials",
            f"{trial.name!r} is a trial and the other a study",
            "What a study ships is another thing than a trial's networks: name a trial of it too, as STUDY:NUMBER.",
        )
    require_same_rows(first.stored, second.stored)
    sides = (chosen_of(first), chosen_of(second))
    name, judged_by = metric_of_both(sides[0].definition, sides[1].definition, metric)
    # What both predicted, and what counts.
    validated = [side.layout.rows[side.layout.counted()] for side in sides]
    rows = np.intersect1d(validated[0], validated[1])
    places = [np.flatnonzero(np.isin(side.layout.rows, rows)) for side in sides]
    if not len(rows):
        raise DataError("Both must have predicted some row", "no row was validated by both")
    values = [score_of(side, judged_by, at) for side, at in zip(sides, places, strict=True)]
    units = sides[0].layout.take(places[0]).units
    count = None if units is None else len(np.unique(units))
    curve, notes = training_rows(sides, judged_by)
    difference, half = values[0] - values[1], None
    missing = missing_interval(sides, places, judged_by)
    if any(side.selection.candidates > 1 for side in sides):
        notes.append(_LUCK if missing else _WITHOUT_LUCK)
    if missing is None:
        again = [side.again(judged_by, at, curve) for side, at in zip(sides, places, strict=True)]
        both = again[0].minus(again[1])
        factor, difference = student(LEVEL, both.units - 1), both.value
        if first.trial is not None:
            factor = max(factor, factor_of_any_pair_of(sides, places, judged_by))
            trials = {side.study: sum(result.value is not None for result in side.trials) for side in sides}
            notes.append(f"The interval allows for their having been picked among {sum(trials.values())} trials.")
        half = factor * math.sqrt(variance_of_difference(sides, places, again, both, judged_by))
    shown_as = tuple(Side(side.asked.name, side.about, value) for side, value in zip(sides, values, strict=True))
    return compared(
        shown_as, name, judged_by, "out-of-fold predictions", len(rows), count, difference, half, missing, notes
    )


def _with_model(study: Asked, model: Asked, metric: str | None) -> Compared:
    """A study and a saved model, on what the model did not train on.

    Raises:
        DataError: there is nothing of the kind.
    """
    stored, bundle = study.stored, model.model
    assert stored is not None
    assert bundle is not None
    if study.trial is not None:
        raise HpsearchError("A saved model must be compared with a study", f"{study.name!r} is a trial")
    about, identity = bundle.about, stored.attributes["identity"]
    if about.get("data_fingerprint") != identity["data.fingerprint"]:
        raise DataError(
            f"The model {model.name!r} must have trained on the rows that {study.name!r} searched with",
            "trained on others, which may be among those held out",
            _EVALUATE,
        )
    if (exported_from := _origin(stored.url, bundle)) is not None:
        with exported_from as origin:
            if origin.name == stored.name:
                got = f"{model.name!r} is what {study.name!r} ships"
                raise HpsearchError("Two must be given to be compared", got, "`hpsearch best` shows its scores.")
            return _out_of_fold(study, Asked(model.name, origin), metric)
    held_out = identity.get("holdout.fingerprint")
    if held_out is None or about.get("holdout_fingerprint") != held_out:
        got = "there is no hold-out" if held_out is None else "has another hold-out than the study"
        raise DataError(
            f"The model {model.name!r} must be compared on rows that it did not train on",
            f"{got}, and the study that it was exported from is not in this storage, or ships another by now",
            _EVALUATE,
        )
    return _on_holdout(study, model, metric)


def _origin(url: str, bundle: Bundle) -> StoredStudy | None:
    """The study that a model was exported from, where it is in the storage and still ships that configuration."""
    origin = bundle.about.get("origin")
    if not origin or not bundle.about.get("as_exported"):
        return None
    try:
        stored = StoredStudy.open(url, origin["study"])
    except StorageError:
        return None
    with suppress(HpsearchError):
        stored = stored.at_one_moment()
        same = stored.attributes["identity"]["data.fingerprint"] == bundle.about["data_fingerprint"]
        if same and find_best(stored).config.fingerprint == origin["configuration"]:
            return stored
    stored.__exit__()
    return None


def _on_holdout(study: Asked, model: Asked, metric: str | None) -> Compared:
    """What the study ships is fitted, and both predict the hold-out; that it was scored is recorded."""
    stored, bundle = study.stored, model.model
    assert stored is not None
    assert bundle is not None
    best = find_best(stored)
    definition = best.definition
    name, judged_by = metric_of_both(definition, definition, metric)
    prepared = prepare(definition)
    held_out, identity = prepared.held_out, stored.attributes["identity"]
    found = [prepared.search.fingerprint, held_out and held_out.fingerprint]
    if found != [identity["data.fingerprint"], identity["holdout.fingerprint"]]:
        raise DataError(f"The rows must be those that {stored.name!r} searched with", "are others", "Restore the data.")
    assert held_out is not None
    shipped = fit_prepared(prepared, best.config)
    earlier = stored.record_scoring({"configuration": best.config.fingerprint})
    in_time = SPLITTERS[definition.validation.splitter].needs == "times"
    units = None if in_time else independent_units(held_out)
    rows = np.arange(held_out.rows)
    layout = Layout(rows, np.zeros_like(rows), held_out.labels, units, held_out.weights)
    scores = [
        Scores(judged_by.row_values(held_out.labels, one.predictions(held_out.features)), layout)
        for one in (shipped, bundle)
    ]
    classes = len(held_out.class_names)
    sure = paired_difference(scores[0], scores[1], judged_by, classes)
    notes = [f"The hold-out was scored {times(earlier + 1)}: it is no longer untouched."] if earlier else []
    missing = None if sure.half is not None else "rows that follow each other in time cannot be drawn independently"
    count = None if units is None else len(np.unique(units[layout.counted()]))
    sides = tuple(
        Side(asked.name, _trained(fitted.members), of.whole(judged_by, classes))
        for asked, fitted, of in ((study, shipped, scores[0]), (model, bundle, scores[1]))
    )
    return compared(
        sides, name, judged_by, "hold-out", len(layout.counted()), count, sure.value, sure.half, missing, notes
    )


def _trained(members: int) -> str:
    who = "one network" if members == 1 else f"{members} networks averaged"
    return f"{who}, trained on all rows that are not held out"
