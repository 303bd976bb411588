"""Time per fold-step: one update of one fold's network, for everyone who can be asked."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from peers import PEERS, Peer
from works import FOLDS, WORKS, Work


def measure(keys: Sequence[str], repetitions: int) -> list[dict[str, Any]]:
    """One row a work and peer: microseconds a fold-step, each repetition of everyone after one of everyone else."""
    rows = []
    for key in keys:
        work = WORKS[key]
        peers = [kind(work) for kind in PEERS if kind.is_installed()]
        epochs = {peer.title: _calibrate(peer, work) for peer in peers}
        times: dict[str, list[float]] = {peer.title: [] for peer in peers}
        peak = sgemm_peak(work)
        for _ in range(repetitions):
            for peer in peers:
                begun = time.perf_counter()
                peer.train(epochs[peer.title])
                steps = epochs[peer.title] * work.steps * FOLDS
                times[peer.title].append((time.perf_counter() - begun) / steps * 1e6)
        ours = statistics.median(times[peers[0].title])
        for peer in peers:
            median = statistics.median(times[peer.title])
            row = {
                "work": key,
                "title": work.title,
                "peer": peer.title,
                "microseconds": median,
                "least": min(times[peer.title]),
                "most": max(times[peer.title]),
                "ratio": median / ours,
                "gflops": work.flops / median / 1e3,
                "peak_gflops": peak,
            }
            rows.append(row)
    return rows


def _calibrate(peer: Peer, work: Work) -> int:
    """Epochs that take about the peer's ``seconds``; the calls compile and warm what is to be warm."""
    epochs = max(1, 20 // work.steps)
    peer.train(epochs)
    while True:
        begun = time.perf_counter()
        peer.train(epochs)
        seconds = time.perf_counter() - begun
        if seconds > peer.seconds / 2:
            return max(1, round(epochs * peer.seconds / seconds))
        epochs *= max(2, min(10, int(peer.seconds / seconds)))


def sgemm_peak(work: Work, size: int = 512) -> float:
    """What the core's BLAS reaches at best, in GFLOP/s: large square float32 matrices."""
    draw = np.random.default_rng(0)
    one, other = (draw.standard_normal((size, size)).astype(np.float32) for _ in range(2))
    out = np.empty_like(one)
    best = float("inf")
    for _ in range(20):
        begun = time.perf_counter()
        np.matmul(one, other, out=out)
        best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best / 1e9
