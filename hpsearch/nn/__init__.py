"""The lock-step trainer core. NumPy only; knows lanes, and knows no folds, trials or files."""
