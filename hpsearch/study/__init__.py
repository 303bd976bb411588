"""A study: its definition, its trials and their coordinator. The only importer of Optuna below the results."""
