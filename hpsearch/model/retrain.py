"""Fit one configuration on every row that is not held out, and score the hold-out, once."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from hpsearch import seeds
from hpsearch.errors import DataError, DefinitionError, DivergedError
from hpsearch.model.bundle import Bundle
from hpsearch.nn.network import initial_parameters
from hpsearch.study.definition import StudyDefinition
from hpsearch.study.objective import prepare
from hpsearch.validation.lanes import fit_scalings, lane_data, make_trainer


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


def retrain(study: str | Path | StudyDefinition) -> Bundle:
    """Train ``[train]`` for its epochs on all rows that are not held out, from initial weights that no trial used.

    Raises:
        DefinitionError: a study with a search space.
        DataError: data that cannot be used, or other than those that an exported configuration was found with.
        DivergedError: a training that diverges.
    """
    definition = study if isinstance(study, StudyDefinition) else StudyDefinition.from_file(study)
    require_no_space(definition)
    prepared, config = prepare(definition), definition.train
    origin = definition.origin
    if origin is not None and origin.data_fingerprint != prepared.data_fingerprint:
        raise DataError(
            f"The rows and the hold-out must be those of the study {origin.study!r} that found this configuration, "
            "but are others: rows held out now may have been searched with. Restore data, seed and [holdout], or leave "
            "out [origin]."
        )
    data, rows = prepared.search, np.arange(prepared.search.rows)
    (scaling,) = fit_scalings(data, [rows], config.scaling, fill_all=True)  # new rows may lack any value
    trainer = make_trainer(config, lane_data(data, [scaling]), [rows], definition.evaluate_every)
    architecture = trainer.architecture
    weights, batches = (seeds.generator(definition.seed, f"retrain-{what}") for what in ("weights", "batches"))
    parameters = initial_parameters(architecture.network, config.init, [weights], architecture.dtype)
    with threadpool_limits(1):
        for checkpoint in trainer.run(parameters, [batches]):
            if checkpoint.diverged.any():
                raise DivergedError(
                    f"The training must keep a finite loss, but it became {checkpoint.total_loss[0]} by epoch "
                    f"{checkpoint.epoch}. Lower [train] learning_rate, now {config.learning_rate:.3g}."
                )
    bundle = Bundle(architecture, parameters, scaling, data.columns, data.class_names, data.target_name, {})
    about: dict[str, Any] = {
        "hpsearch": version("hpsearch"),
        "study": definition.name,
        "seed": definition.seed,
        "data_fingerprint": data.fingerprint,
        "not_features": None if (others := definition.data.not_features) is None else list(others),
        "train": config.model_dump(mode="json"),
        "origin": None if origin is None else origin.model_dump(),
        "as_exported": origin is not None and origin.configuration == config.fingerprint,
        "learning_rate_at_end": float(checkpoint.learning_rate[0]),
        "training": bundle.score(data) | {"penalty": float(checkpoint.penalty[0])},
        "holdout": None if prepared.held_out is None else bundle.score(prepared.held_out),
    }
    return replace(bundle, about=about)
