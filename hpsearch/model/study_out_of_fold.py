"""The out-of-fold predictions of the study that a model comes from, for the model to carry."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from hpsearch.data.dataset import Dataset
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import StorageError
from hpsearch.model.threshold import OutOfFold
from hpsearch.search.baselines import shipped_predictions
from hpsearch.search.correction import definition_of
from hpsearch.search.finals import choose, finals
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import StoredStudy

MOST_ROWS = 20_000  # half a megabyte of the model


def study_out_of_fold(definition: StudyDefinition, data: Dataset, url: str) -> OutOfFold | None:
    """What the networks that an exported configuration of two classes was chosen by predicted out of fold.

    Args:
        definition: what the export reads as.
        data: the rows to search with.
        url: the storage.

    Returns:
        None where the configuration is not as it was exported, or its study is not in the storage with its per-row
        results.
    """
    origin, train = definition.origin, definition.train
    if origin is None or origin.configuration != train.fingerprint or len(data.class_names) != 2:
        return None
    with suppress(StorageError), StoredStudy.open(url, origin.study) as live:
        stored = live.at_one_moment()
        trials, of_study = stored.trials(), definition_of(stored)
        known = stored.attributes["identity"]["data.fingerprint"] == data.fingerprint and origin.trial < len(trials)
        if not known or not trials[origin.trial].state.is_finished():
            return None
        final = choose(finals(stored, of_study, trials), of_study, of_study.retrain.members > 1)
        if final is not None and final.final.number != origin.trial:
            final = None
        shipped = shipped_predictions(stored, stored_result(trials[origin.trial]), final)
        if shipped.epoch != train.epochs:
            return None
        places = shipped.layout.some(shipped.layout.counted(), MOST_ROWS)
        layout = shipped.layout.take(places)
        units = None if layout.units is None else np.unique(layout.units, return_inverse=True)[1]
        alone = units is None or int(units.max()) + 1 == len(units)
        return OutOfFold(
            shipped.predictions[places, 1].astype(np.float64),
            layout.labels.astype(np.intp),
            stored.attributes["n_splits"],
            shipped.of_ensemble and of_study.search.finalist_repeats > 1,
            None if alone else units,
            layout.weights,
        )
    return None
