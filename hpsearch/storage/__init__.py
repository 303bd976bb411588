"""What is stored of a study: its trials in a database, per-row results in files beside it, and the lock on it."""
