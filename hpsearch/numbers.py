"""How numbers are written for people: one function for each purpose, for the terminal, reports, notes and notebooks."""

from __future__ import annotations


def readable(value: float) -> str:
    """A loss or a score: four decimals, or five digits where that would show too many or none."""
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e3 else f"{value:.5g}"


def score_text(value: float) -> str:
    """An accuracy, R² or another score whose best is 1: three decimals."""
    return f"{value:.3f}"


def rounded(value: object) -> str:
    """A value in a table: a fraction with four digits, anything else as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def setting_text(value: object) -> str:
    """The value of a hyperparameter: a fraction with six digits, a list with its values so."""
    if isinstance(value, list):
        return f"[{', '.join(map(setting_text, value))}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
