"""What a study found: tables, the best configuration, figures, the report, the dashboard."""
