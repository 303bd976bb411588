"""Makes studies/flowers.csv: invented measurements of three invented species. Run it from the top folder."""

from pathlib import Path

import numpy as np

SPECIES = {
    "alpine": (4.1, 2.9, 1.6, 0.4),
    "coastal": (5.2, 2.6, 3.4, 1.1),
    "meadow": (5.6, 3.1, 4.3, 1.4),
}
COLUMNS = ("petal_length", "petal_width", "sepal_length", "sepal_width")


def flowers(seed: int = 0, each: int = 60) -> str:
    """CSV text: ``each`` rows of every species in random order, measurements in cm."""
    draw = np.random.default_rng(seed)
    rows = []
    for name, means in SPECIES.items():
        size = draw.normal(1, 0.08, (each, 1))  # big flowers are big in every part
        values = np.abs(size * means + draw.normal(0, 0.3, (each, 4))) + 0.05
        rows += [",".join([*(f"{value:.2f}" for value in row), name]) for row in values]
    return "\n".join([",".join([*COLUMNS, "species"]), *draw.permutation(rows)]) + "\n"


if __name__ == "__main__":
    Path("studies/flowers.csv").write_text(flowers(), encoding="utf-8")
