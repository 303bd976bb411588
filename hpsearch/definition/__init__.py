"""A study file, typed: what it may say, its search space, samplers and pruners by name, its schema and its draft."""
