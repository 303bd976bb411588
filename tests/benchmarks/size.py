"""How the time of reading commands, of a page of the dashboard and of a commit grows: by trials and by studies.

``python tests/benchmarks/size.py run sizes.jsonl`` measures, ``python tests/benchmarks/size.py report sizes.jsonl``
prints the table. The databases hold real rows: a tiny study's trained trials, told again under other numbers and with
other learning rates by the storage that a run uses, with their per-row results; then a real run comes to the study's
end, with its finals and its corrected score.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

TRIALS = (500, 1_000, 2_500, 5_000)
STUDIES = (50, 100, 250, 500)
FEW = 20  # trials of each of many studies
TRAINED = 24  # trials that are trained; all others have the result of one of these
TOLD_AT_ONCE = 250

DEFINITION: dict[str, Any] = {
    "study": {"name": "size", "seed": 3},
    "data": {"source": "nnfs:spiral", "samples": 20},
    "holdout": {"fraction": 0.25},
    "validation": {"n_splits": 3},
    "train": {"epochs": 20, "evaluate_every": 2, "batch_size": 16},
    "space": {
        "neurons": {"int": [4, 8]},
        "learning_rate": {"float": [1e-3, 1.0], "log": True},
        "momentum": {"float": [0.0, 0.9]},
        "optimizer": {"choice": ["adam", "sgd"]},
    },
    "search": {"sampler": "random", "finalists": 3, "finalist_repeats": 2},
}


def definition(name: str, trials: int) -> Any:
    import hpsearch

    raw = {**DEFINITION, "study": {**DEFINITION["study"], "name": name}}
    return hpsearch.StudyDefinition.from_mapping({**raw, "search": {**DEFINITION["search"], "trials": trials}})


class Filler:
    """Fills storages with studies of any number of trials."""

    def __init__(self) -> None:
        from hpsearch.search.objective import TrialTask, evaluate, prepare
        from hpsearch.search.proposer import Proposer

        few = definition("size", TRAINED)
        self.prepared = prepare(few)
        proposer, self.results, self.proposals = Proposer(few, self.prepared.sizes), [], []
        for number in range(TRAINED):
            self.proposals.append(proposer.propose(self.results))
            self.results.append(evaluate(self.prepared, TrialTask(number, self.proposals[-1].chosen)))

    def fill(self, url: str, name: str, trials: int, told: int) -> None:
        """A study that shall have so many trials, so many of which are told."""
        from hpsearch.search.run import owned

        with owned(replace(self.prepared, definition=definition(name, trials)), url, []) as stored:
            stored.row_results.begin(self.prepared.layout())
            for first in range(0, told, TOLD_AT_ONCE):
                with stored.transaction():
                    for number in range(first, min(first + TOLD_AT_ONCE, told)):
                        proposal, result = self.trial(number)
                        stored.write_row_results(result)
                        stored.add(proposal)
                        stored.tell(result)

    def trial(self, number: int) -> tuple[Any, Any]:
        """What a trial of this number is proposed as, another configuration each, and what becomes of it."""
        proposal, result = self.proposals[number % TRAINED], self.results[number % TRAINED]
        rate = proposal.chosen["learning_rate"] * (1 - 1e-9 * number)
        chosen = {**proposal.chosen, "learning_rate": max(rate, 1e-3)}
        return replace(proposal, number=number, chosen=chosen), replace(result, number=number)
