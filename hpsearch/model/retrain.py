"""Fit one configuration on every row that is not held out, score the hold-out, and record that it was scored.

Every number is of the ensemble that is saved, never of one of its networks.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.data.csv_format import CsvFormat
from hpsearch.data.dataset import Dataset
from hpsearch.data.splits import SPLITTERS
from hpsearch.data.table_sources import LabelledTable
from hpsearch.data.units import independent_units
from hpsearch.definition.study import StudyDefinition, as_key
from hpsearch.errors import BundleError, DataError, DefinitionError, Setting, StorageError, located
from hpsearch.model.bundle import Bundle
from hpsearch.model.fit import fit
from hpsearch.model.study_out_of_fold import study_out_of_fold
from hpsearch.model.study_rows import recipe
from hpsearch.search.objective import Prepared, prepare
from hpsearch.storage.database import shown_url
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.validation.config import Config
from hpsearch.validation.estimates import mean_of_rows
from hpsearch.validation.score import SCORE_NAMES


def require_no_space(definition: StudyDefinition) -> None:
    """Refuse a definition that still has something to search.

    Raises:
        DefinitionError: its search space is not empty.
    """
    if definition.space.dimensions:
        raise DefinitionError(
            "must be empty to retrain",
            "there is something to search",
            "Run the study, export its best configuration with `hpsearch best STUDY -o best.toml`, and retrain that.",
            where=Setting("space"),
        )


@located(wording=as_key)
def retrain(definition: StudyDefinition, url: str, folder: Path | None = None, score_holdout: bool = True) -> Bundle:
    """Train the members of ``[retrain]`` on all rows that are not held out, from initial weights that no trial used.

    Args:
        definition: without a search space.
        url: the storage, in whose study it is recorded that the hold-out was scored, if the study is there.
        folder: where the model will be saved, from where it finds its study's rows again; a model that is there knows
            how often its hold-out was scored.
        score_holdout: score it, and record that; otherwise no held-out row is looked at.

    Raises:
        DefinitionError: a study with a search space.
        DataError: data that cannot be used, or other than those that an exported configuration was found with.
        DivergedError: a training that diverges with every seed.
    """
    require_no_space(definition)
    prepared = prepare(definition)
    bundle = fit_prepared(prepared, definition.train)
    about, held_out = dict(bundle.about), prepared.held_out
    if held_out is not None:
        about["holdout_fingerprint"] = held_out.fingerprint
    if held_out is not None and score_holdout:
        losses = bundle.row_losses(held_out)
        apart = SPLITTERS[definition.validation.splitter].needs != "times"
        sure = mean_of_rows(losses, independent_units(held_out), weights=held_out.weights, independent=apart)
        score = bundle.score(held_out) | {"loss": sure.mean, "low": sure.low, "high": sure.high}
        score |= _objective(bundle, held_out, definition)
        about["holdout"] = score
        about |= _record_scoring(definition, held_out.fingerprint, url, folder)
    about |= {"rows": recipe(definition, folder), "evaluation": _evaluation(prepared, url)}
    return replace(bundle, about=about)


def _evaluation(prepared: Prepared, url: str) -> dict[str, Any]:
    """What an evaluation on other rows has to know."""
    definition, source = prepared.definition, prepared.definition.data
    out_of_fold = study_out_of_fold(definition, prepared.search, url)
    return {
        "group": source.group if isinstance(source, LabelledTable) else None,
        "weight": source.weight if isinstance(source, LabelledTable) else None,
        "rare_classes": source.rare_classes if isinstance(source, LabelledTable) else "keep",
        "in_time": SPLITTERS[definition.validation.splitter].needs == "times",
        "out_of_fold": None if out_of_fold is None else out_of_fold.plain(),
    }


def _record_scoring(definition: StudyDefinition, fingerprint: str, url: str, folder: Path | None) -> dict[str, Any]:
    """Record in the study that its hold-out was scored, if it can be reached, and say how often it was before."""
    origin = definition.origin
    name = definition.name if origin is None else origin.study
    known, not_recorded = [0], None
    try:
        with StoredStudy.open(url, name) as stored:
            if stored.attributes["identity"]["holdout.fingerprint"] == fingerprint:
                known.append(stored.record_scoring({"configuration": definition.train.fingerprint}))
            else:
                not_recorded = f"the study {name!r} in {shown_url(url)} has another hold-out."
    except StorageError as error:
        error.do = ""  # to whoever retrains a model without its study, what to do is no news
        not_recorded = str(error)
    if folder is not None and folder.exists():
        with suppress(BundleError):
            about = Bundle.load(folder).about
            known.append(about.get("scorings", 0) if about.get("holdout_fingerprint") == fingerprint else 0)
    return {"scorings": max(known) + 1, "not_recorded": not_recorded}


def _objective(bundle: Bundle, data: Dataset, definition: StudyDefinition) -> dict[str, float | None]:
    """The study's objective on some rows under its name, where it is not one of the numbers that every model has."""
    name = definition.search.objective
    known = ("loss", SCORE_NAMES[bundle.task])
    return {} if name in known else {name: bundle.measure(data, definition.metric)}


def fit_prepared(prepared: Prepared, config: Config) -> Bundle:
    """Train the ensemble of a configuration on all rows to search with; no held-out row is looked at.

    Raises:
        DataError: other rows than those that an exported configuration was found with.
        DivergedError: a training that diverges with every seed.
    """
    definition = prepared.definition
    origin = definition.origin
    if origin is not None and origin.data_fingerprint != prepared.data_fingerprint:
        raise DataError(
            f"The rows and the hold-out must be those of the study {origin.study!r} that found this configuration",
            "are others: rows held out now may have been searched with",
            (
                "Restore ",
                Setting("data"),
                ", ",
                Setting("seed"),
                " and ",
                Setting("holdout"),
                ", or leave out ",
                Setting("origin"),
                ".",
            ),
        )
    data = prepared.search
    members, every = definition.retrain.members, definition.evaluate_every
    done = fit(config, data, definition.seed, members=members, evaluate_every=every)
    bundle, last = done.ensemble.bundle(data, {}), done.checkpoints[-1]
    about = {
        "hpsearch": version("hpsearch"),
        "study": definition.name,
        "objective": definition.search.objective,
        "seed": definition.seed,
        "data_fingerprint": data.fingerprint,
        "not_features": None if (others := definition.data.not_features) is None else list(others),
        "ranges": _ranges(data),
        "train": config.model_dump(mode="json"),
        "origin": None if origin is None else origin.model_dump(),
        "as_exported": origin is not None and origin.configuration == config.fingerprint,
        "members": members,
        "trained_again": done.trained_again,
        "learning_rate_at_end": float(last.learning_rate[0]),
        "learning_curve": {
            "epochs": [point.epoch for point in done.checkpoints],
            "training_loss": [float(point.training_loss.mean()) for point in done.checkpoints],
        },
        "training": bundle.score(data) | _objective(bundle, data, definition) | {"penalty": float(last.penalty.mean())},
        "holdout": None,
    }
    csv = definition.data.csv if isinstance(definition.data, LabelledTable) else CsvFormat()
    return replace(bundle, about=about, csv=csv)


def _ranges(data: Dataset) -> dict[str, list[float]]:
    """The least and the greatest value of each numeric column, of rows that count."""
    counted = slice(None) if data.weights is None else data.weights > 0
    ranges = {}
    for column in data.columns.columns:
        if column.kind == "numeric":
            values = data.features[counted, data.columns.places[column.name].start]
            ranges[column.name] = [float(np.nanmin(values)), float(np.nanmax(values))]
    return ranges
