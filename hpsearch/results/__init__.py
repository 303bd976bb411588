"""What a study found: tables, the best configuration and its corrected score, confirmation, nested validation."""
