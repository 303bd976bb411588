"""What is timed side by side is the same work: its predictions agree."""

from __future__ import annotations

from dataclasses import replace

import honesty
import numpy as np
import pytest
from peers import PEERS, LockStep, Peer, TextbookLoop
from works import WORKS, Work

from hpsearch.search.objective import Prepared, TrialTask, evaluate
from hpsearch.validation.lanes import fit_scalings

SMALL = {
    "full batch": Work("a", "", "nnfs:spiral", (16,), l2=5e-2, learning_rate=0.03),
    "mini-batches": Work("b", "", "made", (16,), 40, inputs=5, rows=500, l2=1e-2),
    "deep": Work("c", "", "made", (9, 8), inputs=5, rows=200, classes=4, l2=1e-2),
}
PRECISE = type("PreciseLockStep", (LockStep,), {"dtype": "float64"})


@pytest.mark.parametrize("work", ["full batch", "deep"])
def test_the_textbook_loop_and_the_core_compute_the_same(work: str) -> None:
    plain, ours = TextbookLoop(SMALL[work]), PRECISE(SMALL[work])
    for epochs in (1, 40):
        # 40 updates in float64, in other orders of the same sums.
        assert ours.loss(ours.train(epochs)) == pytest.approx(plain.loss(plain.train(epochs)), rel=1e-9)


@pytest.mark.parametrize("kind", PEERS, ids=lambda kind: kind.title)
@pytest.mark.parametrize("work", SMALL)
def test_every_peer_learns_what_the_textbook_loop_learns(work: str, kind: type[Peer]) -> None:
    if not kind.is_installed():
        pytest.skip(f"{kind.package} is not installed (extra bench)")
    plain, peer = TextbookLoop(SMALL[work]), kind(SMALL[work])
    if kind.same_start and SMALL[work].batch_size is None:
        # float32, 40 updates; a penalty left out or halved would show in the second digit.
        assert peer.loss(peer.train(40)) == pytest.approx(plain.loss(plain.train(40)), rel=1e-3)
        without = TextbookLoop(replace(SMALL[work], l2=0.0))
        assert without.loss(without.train(40)) < 0.99 * plain.loss(plain.train(40))
    else:  # other batches or other initial weights: the same level where the penalty holds it
        assert peer.loss(peer.train(150)) == pytest.approx(plain.loss(plain.train(150)), rel=0.15)


def test_every_work_has_equal_folds_and_even_batches() -> None:
    for work in WORKS.values():
        sizes = {len(split.training) for split in work.splits}
        assert len(sizes) == 1
        assert work.batch_size is None or work.training_rows % work.batch_size == 0
        assert np.isfinite(work.data.features).all()


def test_honesty_s_studies_side_by_side_are_what_hpsearch_computes_one_by_one() -> None:
    """Same proposals, same bits of every row's loss at every checkpoint, same retrained network."""
    case = replace(honesty.HARD, trials=3, epochs=20)
    studies = [honesty.Search(case.draw(seed, case.rows), seed, case.definition()) for seed in (1, 2)]
    honesty.search(studies, case.trials)
    for study in studies:
        training = [split.training for split in study.splits]
        scalings = {"standard": fit_scalings(study.data, training, "standard")}
        prepared = Prepared(study.definition, study.data, None, tuple(study.splits), scalings)
        for number, chosen in enumerate(study.chosen):
            result = evaluate(prepared, TrialTask(number, chosen))
            assert result.rows is not None
            assert np.array_equal(result.rows.losses, study.losses[number])
            assert (result.best_epoch, result.epochs) == (
                study.results[number].best_epoch,
                study.results[number].epochs,
            )
            assert result.value == pytest.approx(study.results[number].value, rel=1e-6)  # ours is of float32 losses


def test_honesty_prints_every_estimate_beside_both_truths() -> None:
    table = honesty.summary(honesty.chunk(replace(honesty.HARD, trials=2, epochs=20), 0, 3))
    assert [*zip(table["truth"], table["estimate"], strict=True)] == [
        (truth, estimate) for truth in ("folds", "retrained") for estimate in honesty.ORDER
    ]
    assert table.notna().all(axis=None)
    assert table["coverage"].between(0, 1).all()
