"""Cross-validation of one configuration: lanes are folds × repeats. Knows no search."""
