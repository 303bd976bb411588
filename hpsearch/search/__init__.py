"""The search: a trial as a pure function, who proposes, prunes and executes trials, and the coordinator."""
