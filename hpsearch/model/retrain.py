"""Fit one configuration on every row that is not held out, score the hold-out, and record that it was scored."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from hpsearch import seeds
from hpsearch.data.dataset import Dataset
from hpsearch.data.splits import SPLITTERS
from hpsearch.data.units import independent_units
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import BundleError, DataError, DefinitionError, DivergedError, StorageError
from hpsearch.model.bundle import Bundle
from hpsearch.model.study_rows import recipe
from hpsearch.nn.network import initial_parameters
from hpsearch.search.objective import Prepared, prepare
from hpsearch.storage.database import shown
from hpsearch.storage.storage import StoredStudy
from hpsearch.validation.config import Config
from hpsearch.validation.estimates import mean_of_rows
from hpsearch.validation.lanes import fit_scalings, lane_data, make_trainer, training_weights
from hpsearch.validation.score import SCORE_NAMES


def require_no_space(definition: StudyDefinition) -> None:
    """Refuse a definition that still has something to search.

    Raises:
        DefinitionError: [space] is not empty.
    """
    if definition.space.dimensions:
        raise DefinitionError(
            "[space] must be empty to retrain, but there is something to search. Run the study, export its best "
            "configuration with `hpsearch best STUDY -o best.toml`, and retrain that."
        )


def retrain(definition: StudyDefinition, url: str, folder: Path | None = None) -> Bundle:
    """Train ``[train]`` for its epochs on all rows that are not held out, from initial weights that no trial used.

    Args:
        definition: without a search space.
        url: the storage, in whose study it is recorded that the hold-out was scored, if the study is there.
        folder: where the model will be saved, from where it finds its study's rows again; a model that is there knows
            how often its hold-out was scored.

    Raises:
        DefinitionError: a study with a search space.
        DataError: data that cannot be used, or other than those that an exported configuration was found with.
        DivergedError: a training that diverges.
    """
    require_no_space(definition)
    prepared = prepare(definition)
    bundle, about = fit(prepared, definition.train)
    held_out = prepared.held_out
    if held_out is not None:
        losses = bundle.row_losses(held_out)
        apart = SPLITTERS[definition.validation.splitter].needs != "times"
        sure = mean_of_rows(losses, independent_units(held_out), weights=held_out.weights, independent=apart)
        score = bundle.score(held_out) | {"loss": sure.mean, "low": sure.low, "high": sure.high}
        score |= _objective(bundle, held_out, definition)
        about |= {"holdout": score, "holdout_fingerprint": held_out.fingerprint}
        about |= _record_scoring(definition, held_out.fingerprint, url, folder)
    about["rows"] = recipe(definition, folder)
    return replace(bundle, about=about)


def _record_scoring(definition: StudyDefinition, fingerprint: str, url: str, folder: Path | None) -> dict[str, Any]:
    """Record in the study that its hold-out was scored, if it can be reached, and say how often it was before."""
    origin = definition.origin
    name = definition.name if origin is None else origin.study
    known, reason = [0], None
    try:
        with StoredStudy.open(url, name) as stored:
            if stored.attributes["identity"]["holdout.fingerprint"] != fingerprint:
                raise StorageError(f"the study {name!r} in {shown(url)} has another hold-out")
            known.append(stored.record_scoring({"configuration": definition.train.fingerprint}))
    except StorageError as error:
        reason = str(error).rstrip(".")
    if folder is not None and folder.exists():
        with suppress(BundleError):
            about = Bundle.load(folder).about
            known.append(about.get("scorings", 0) if about.get("holdout_fingerprint") == fingerprint else 0)
    return {"scorings": max(known) + 1, "not_recorded": reason}


def _objective(bundle: Bundle, data: Dataset, definition: StudyDefinition) -> dict[str, float | None]:
    """The study's objective on some rows under its name, where it is not one of the numbers that every model has."""
    name = definition.search.objective
    known = ("loss", SCORE_NAMES[bundle.task])
    return {} if name in known else {name: bundle.measure(data, definition.metric)}


def fit(prepared: Prepared, config: Config) -> tuple[Bundle, dict[str, Any]]:
    """Train a configuration on all rows to search with; no held-out row is looked at.

    Returns:
        The model, and how it came to be, in plain values.
    """
    definition = prepared.definition
    origin = definition.origin
    if origin is not None and origin.data_fingerprint != prepared.data_fingerprint:
        raise DataError(
            f"The rows and the hold-out must be those of the study {origin.study!r} that found this configuration, "
            "but are others: rows held out now may have been searched with. Restore data, seed and [holdout], or leave "
            "out [origin]."
        )
    data, rows = prepared.search, np.arange(prepared.search.rows)
    (scaling,) = fit_scalings(data, [rows], config.scaling, fill_all=True)  # new rows may lack any value
    counts = training_weights(config, data, [rows])
    lanes = lane_data(data, [scaling], [rows])
    trainer = make_trainer(config, lanes, [rows], definition.evaluate_every, counts)
    architecture = trainer.architecture
    weights, batches, dropping = (
        seeds.generator(definition.seed, f"retrain-{what}") for what in ("weights", "batches", "dropout")
    )
    parameters = initial_parameters(architecture.network, config.init, [weights], architecture.dtype)
    with threadpool_limits(1):
        for checkpoint in trainer.run(parameters, [batches], [dropping]):
            if checkpoint.diverged.any():
                raise DivergedError(
                    f"The training must keep a finite loss, but it became {checkpoint.total_loss[0]} by epoch "
                    f"{checkpoint.epoch}. Lower [train] learning_rate, now {config.learning_rate:.3g}."
                )
    bundle = Bundle(architecture, parameters, scaling, data.columns, data.class_names, data.target_name, {})
    if lanes.target_centre is not None and lanes.target_scale is not None:
        centre, scale = float(lanes.target_centre[0]), float(lanes.target_scale[0])
        bundle = replace(bundle, target_centre=centre, target_scale=scale)
    about = {
        "hpsearch": version("hpsearch"),
        "study": definition.name,
        "objective": definition.search.objective,
        "seed": definition.seed,
        "data_fingerprint": data.fingerprint,
        "not_features": None if (others := definition.data.not_features) is None else list(others),
        "train": config.model_dump(mode="json"),
        "origin": None if origin is None else origin.model_dump(),
        "as_exported": origin is not None and origin.configuration == config.fingerprint,
        "learning_rate_at_end": float(checkpoint.learning_rate[0]),
        "training": bundle.score(data)
        | _objective(bundle, data, definition)
        | {"penalty": float(checkpoint.penalty[0])},
        "holdout": None,
    }
    return bundle, about
