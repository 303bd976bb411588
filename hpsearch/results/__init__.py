"""What a study found: tables, the best configuration, the dashboard."""
