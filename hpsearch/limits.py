"""The most that a number may be which costs time or memory: whatever has the same meaning has the same bound.

They are far above what anybody trains, and low enough that nothing hangs, or asks for more memory than there is, before
the first trial. A bound of one field alone stands beside the field.
"""

from __future__ import annotations

MOST_ROWS = 1_000_000_000  # of a table, a batch, a gap between rows
MOST_TRIALS = 1_000_000  # of a study
MOST_REPEATS = 1_000  # times that rows are dealt anew
MOST_SPLITS = 10_000  # of a configuration: one network each, all in training at once
MOST_EPOCHS = 1_000_000  # of one network
MOST_CHECKPOINTS = 100_000  # of one trial, each a row of its learning curve
MOST_STUDY_EPOCHS = 10**12  # of all networks of all trials
MOST_LAYERS = 1_000  # hidden ones
MOST_NEURONS = 1_000_000  # of a layer
MOST_PARAMETERS = 100_000_000  # of a network; every lane holds several times as many numbers
MOST_STEPS = 1_000_000  # of a range
MOST_CHOICES = 10_000  # of a hyperparameter
MOST_KNOWN = 10_000  # configurations that a search begins with
MOST_WORKERS = 1_000  # processes of one machine
MOST_SECONDS = 1_000_000_000  # of a run, some thirty years

# Of float32, in which a network trains: nearer to 1 than this a share is 1, and beyond these a number is 0 or infinite
# after a step or two. A penalty, a decay or an epsilon as large as the last leaves nothing of the loss itself.
NEAREST_TO_1 = 0.999999
SMALLEST, LARGEST = 1e-30, 1e30
MOST_OF_A_PENALTY = 1e6
LEAST_CLASS_WEIGHT, MOST_CLASS_WEIGHT = 1e-12, 1e12
MOST_DROPPED = 0.999  # dropout draws 16 bits a value, for which 0.99999 is 1
