"""What a study looks like: figures, the HTML report, the dashboard."""
