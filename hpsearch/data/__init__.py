"""Rows and targets, where they come from, how they are split and scaled. Knows no networks."""
