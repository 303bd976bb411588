"""Libraries compute with one thread, whenever they were loaded and in whatever process."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

# What each library is limited to within and what it was before and after, once a step; libraries are loaded in between.
STEPS = """
import importlib, json, os, sys
import numpy as np
from threadpoolctl import threadpool_info
from hpsearch.threads import one_thread

def threads():
    return {of["filepath"]: of["num_threads"] for of in threadpool_info()}

seen = []
for name in [None, *sys.argv[1:], None]:
    if name == "fork":
        read, write = os.pipe()
        if os.fork() == 0:
            with one_thread():
                os.write(write, json.dumps(threads()).encode())
            os._exit(0)
        within, before, after = json.loads(os.read(read, 10**6)), threads(), threads()
        os.wait()
    else:
        if name is not None:
            importlib.import_module(name)
        before = threads()
        with one_thread():
            within = threads()
        after = threads()
    seen.append([before, within, after])
print(json.dumps(seen))
"""


def steps(*names: str) -> list[list[dict[str, int]]]:
    environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "2")}
    command = [sys.executable, "-W", "ignore", "-c", STEPS, *names]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    seen: list[list[dict[str, int]]] = json.loads(done.stdout)
    return seen


@pytest.mark.parametrize(
    "names",
    [
        ("fork", "scipy.linalg"),  # has a BLAS of its own
        pytest.param(("scipy.linalg", "fork", "sklearn.cluster", "fork"), marks=pytest.mark.campaign),  # OpenMP too
    ],
)
def test_all_that_is_loaded_has_one_thread_within_and_its_own_number_afterwards(names: tuple[str, ...]) -> None:
    seen = steps(*names)
    for before, within, after in seen:
        assert within == dict.fromkeys(before, 1)
        assert before == after
    assert len(seen[-1][0]) > len(seen[0][0]) > 0
    if (os.cpu_count() or 1) > 1:  # else there is nothing to limit
        assert max(seen[0][0].values()) == 2
