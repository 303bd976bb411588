"""The best few trials on fresh splits: what is different is called so, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import hpsearch
from hpsearch import seeds
from hpsearch.errors import DataError, HpsearchError
from hpsearch.results.confirm import holm
from hpsearch.search.objective import prepare


def test_trials_are_trained_again_on_splits_and_seeds_that_the_search_did_not_have(small: Path) -> None:
    """Each number again by cross-validating the trial's configuration for its epochs, on other splits."""
    best = hpsearch.run(small, trials=30)
    found = hpsearch.confirm("small", top=4, repeats=2)
    assert (found.splits, found.repeats, len(found.trials)) == (6, 2, 4)
    trials = best.trials.set_index("number")
    lowest = trials[trials["same_as"].isna()].sort_values(["value", "best_epoch"])["value"].head(4)
    assert {one.trial: one.searched for one in found.trials} == lowest.to_dict()
    means = [one.loss.mean for one in found.trials if one.loss is not None]
    assert means == sorted(means)
    definition = best.best.definition
    seed = seeds.integer_seed(definition.seed, "confirm")
    search = prepare(definition)
    assert seed != definition.seed
    from hpsearch.data.splits import make_splits
    from hpsearch.validation.cross_validate import cross_validate

    splits = make_splits(search.search, "kfold", replace(definition.validation.split_options, repeats=2), seed)
    of_search = {split.validation.tobytes() for split in search.splits}
    assert not of_search & {split.validation.tobytes() for split in splits}
    for one in found.trials:
        names = [*definition.space.names]
        chosen = {name: trials.loc[one.trial, name] for name in names if not np.any(trials.isna().loc[one.trial, name])}
        plain = {name: value.item() if hasattr(value, "item") else value for name, value in chosen.items()}
        config = definition.config(plain).replaced({"epochs": int(trials.loc[one.trial, "best_epoch"])})
        outcome = cross_validate(search.search, splits, config, seed, rule="last")
        assert one.loss == outcome.estimate


def test_every_pair_is_compared_and_the_p_values_are_the_corrected_t_test_s(small: Path) -> None:
    hpsearch.run(small, trials=30)
    found = hpsearch.confirm("small", top=3, repeats=3)
    order = [one.trial for one in found.trials]
    assert [(pair.better, pair.worse) for pair in found.comparisons] == list(combinations(order, 2))
    for pair in found.comparisons:
        assert pair.low < pair.difference < pair.high
        assert pair.distinguishable == (pair.p < 0.05)
    assert all(0 <= pair.p <= 1 for pair in found.comparisons)


def test_a_trial_that_learns_is_distinguishable_from_one_that_cannot_and_not_from_its_like(small: Path) -> None:
    """Learning rates of 0.05 and 0.051, and one so small that nothing is learnt."""
    text = small.read_text().partition("[space]")[0].replace("samples = 20", "samples = 60")
    text = text.replace('source = "nnfs:spiral"', 'source = "nnfs:vertical"')
    text += '[space]\nlearning_rate = { choice = [0.05, 0.051, 1e-9] }\n[search]\ntrials = 3\nsampler = "grid"\n'
    small.write_text(text + 'pruner = "none"\n')
    hpsearch.run(small)
    found = hpsearch.confirm("small", top=3)
    verdicts = {frozenset((pair.better, pair.worse)): pair.distinguishable for pair in found.comparisons}
    assert verdicts == {frozenset((0, 1)): False, frozenset((0, 2)): True, frozenset((1, 2)): True}


@pytest.mark.parametrize("seed", range(5))
def test_holm_s_adjustment_is_that_of_its_definition(seed: int) -> None:
    """Hypothesis i is rejected at level a exactly if all with smaller p-values are and p_(i) ≤ a / (n - i)."""
    p_values = np.random.default_rng(seed).uniform(0, 0.2, 6)
    adjusted = np.array(holm(p_values.tolist()))
    for level in np.linspace(0.01, 0.99, 50):
        rejected, order = set(), np.argsort(p_values)
        for place, number in enumerate(order):
            if p_values[number] > level / (len(order) - place):
                break
            rejected.add(int(number))
        assert set(np.flatnonzero(adjusted <= level).tolist()) == rejected


def test_what_cannot_be_confirmed_is_refused(small: Path) -> None:
    hpsearch.run(small, trials=3)
    small.write_text(small.read_text().replace("samples = 20", "samples = 21"))
    with hpsearch.api.open_study("small") as stored:
        raw = {**stored.attributes["definition"], "data": {"source": "nnfs:spiral", "samples": 21}}
        stored.refresh({"definition": raw})
    with pytest.raises(DataError, match="must be those that 'small' searched with, but are others"):
        hpsearch.confirm("small")
    with hpsearch.api.open_study("small") as stored:
        stored.refresh({"definition": {**raw, "validation": {"splitter": "predefined"}}})
    with pytest.raises(HpsearchError, match="'predefined' are always the same"):
        hpsearch.confirm("small")


def test_the_paired_test_is_student_s_for_splits_without_overlap(small: Path) -> None:
    """With next to no validation rows the correction vanishes and SciPy's paired test gives the same p-value."""
    from hpsearch.results.confirm import _paired

    definitions = [hpsearch.StudyDefinition.from_file(small, [f"train.init={init}"]) for init in ("he", "glorot")]
    one, other = map(hpsearch.cross_validate, definitions)
    few = {"validation_rows": 1, "training_rows": 10**12}
    folds = [tuple(replace(fold, **few) for fold in outcome.folds) for outcome in (one, other)]
    mine = _paired(replace(one, folds=folds[0]), replace(other, folds=folds[1]))[1]
    theirs = stats.ttest_rel(*([f.validation_loss for f in part] for part in folds)).pvalue
    assert mine == pytest.approx(theirs, rel=1e-6)


def test_a_configuration_is_confirmed_once_and_less_than_one_is_refused(small: Path) -> None:
    known = '{ hidden_layers = 1, optimizer = "adam", learning_rate = 0.02, "layer1.neurons" = 8 }'
    small.write_text(small.read_text().replace("[search]", f"[search]\nenqueue = [{known}, {known}]"))
    hpsearch.run(small, trials=4, reuse=False)
    found = [one.trial for one in hpsearch.confirm("small", top=4, repeats=1).trials]
    assert len({0, 1} & set(found)) == 1
    for wrong in ({"top": 0}, {"repeats": 0}, {"top": -1}):
        with pytest.raises(HpsearchError, match="must be at least 1"):
            hpsearch.confirm("small", **wrong)
