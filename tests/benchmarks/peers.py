"""Who is timed: ours, and what a user would otherwise pick. All train the same networks on the same rows.

Each peer is built once for a work and then called with a number of epochs, which it trains from the beginning; a call
returns the mean data loss over the folds' training rows, by which the peers are compared before they are timed.
"""

from __future__ import annotations

import os
import warnings
from abc import ABC, abstractmethod
from importlib.util import find_spec
from typing import Any
from unittest.mock import patch

import numpy as np
from textbook import Adam, Textbook
from works import FOLDS, Work

from hpsearch import seeds
from hpsearch.validation.lanes import lane_data, make_trainer


class Peer(ABC):
    """One way to train a work's five networks."""

    title: str
    package: str = "numpy"
    same_start = True  # begins with the work's initial weights
    penalised = True  # by L2 in its loss; otherwise its steps decay the weights
    seconds = 0.4  # about as long as one measured call

    def __init__(self, work: Work) -> None:
        self.work = work
        self.build()

    @classmethod
    def is_installed(cls) -> bool:
        return find_spec(cls.package) is not None

    @abstractmethod
    def build(self) -> None:
        """Whatever may be done before the clock starts."""

    @abstractmethod
    def train(self, epochs: int) -> Any:
        """Train from the beginning; what is timed."""

    @abstractmethod
    def loss(self, trained: Any) -> float:
        """The mean data loss over the folds' training rows, in nats, of what ``train`` returned."""


class LockStep(Peer):
    title = "hpsearch"
    dtype = "float32"
    kernels = "numpy"

    def build(self) -> None:
        self.lanes = lane_data(self.work.data, self.work.scalings, [split.training for split in self.work.splits])

    def train(self, epochs: int) -> Any:
        work = self.work
        config = work.config(epochs).replaced({"dtype": self.dtype})
        trainer = make_trainer(config, self.lanes, [split.training for split in work.splits], epochs)
        params = np.concatenate([matrix.reshape(FOLDS, -1) for matrix in work.initial()], axis=1).astype(self.dtype)
        generators = [seeds.generator(7, "batches", 0, fold) for fold in range(FOLDS)]
        with patch.dict(os.environ, HPSEARCH_KERNELS=self.kernels):
            (last,) = trainer.run(params, generators)
        return last

    def loss(self, trained: Any) -> float:
        return float(trained.training_loss.mean())


class Fast(LockStep):
    title = "hpsearch, extra fast"
    package = "numba"
    kernels = "compiled"


class TextbookLoop(Peer):
    title = "textbook loop"

    def build(self) -> None:
        self.initial = self.work.initial()

    def train(self, epochs: int) -> Any:
        work = self.work
        networks = []
        for fold, (features, labels) in enumerate(work.scaled):
            network = Textbook([matrix[fold] for matrix in self.initial], work.l2, Adam(work.learning_rate))
            network.train(features, labels, epochs, work.batch_size, np.random.default_rng(fold))
            networks.append(network)
        return networks

    def loss(self, trained: Any) -> float:
        return float(np.mean([network.loss(*rows) for network, rows in zip(trained, self.work.scaled, strict=True)]))


class ScikitLearn(Peer):
    title = "MLPClassifier"
    package = "sklearn"
    same_start = False

    def build(self) -> None:
        self.rows = [(features.astype(np.float32), labels) for features, labels in self.work.scaled]

    def train(self, epochs: int) -> Any:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier

        work, trained = self.work, []
        batch = work.batch_size or work.training_rows
        for features, labels in self.rows:
            network = MLPClassifier(
                work.neurons,
                alpha=2 * work.l2 * batch,  # its penalty is alpha / (2 · rows of the batch) · Σw²
                batch_size=batch,
                learning_rate_init=work.learning_rate,
                epsilon=1e-7,
                max_iter=epochs,
                n_iter_no_change=epochs + 1,
                tol=0,
                random_state=7,
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                trained.append(network.fit(features, labels))
        return trained

    def loss(self, trained: Any) -> float:
        from sklearn.metrics import log_loss

        labels = range(self.work.network.outputs)
        pairs = zip(trained, self.rows, strict=True)
        return float(np.mean([log_loss(y, network.predict_proba(x), labels=labels) for network, (x, y) in pairs]))


class TorchEager(Peer):
    title = "PyTorch, fold by fold"
    package = "torch"

    def build(self) -> None:
        import torch

        self.initial = [torch.from_numpy(matrix.astype(np.float32)) for matrix in self.work.initial()]
        self.rows = [
            (torch.from_numpy(features.astype(np.float32)), torch.from_numpy(labels))
            for features, labels in self.work.scaled
        ]

    def train(self, epochs: int) -> Any:
        import torch

        work, trained = self.work, []
        for fold, (features, labels) in enumerate(self.rows):
            layers: list[torch.nn.Module] = []
            for matrix in self.initial:
                linear = torch.nn.Linear(matrix.shape[1] - 1, matrix.shape[2])
                with torch.no_grad():
                    linear.weight.copy_(matrix[fold, :-1].T)
                    linear.bias.copy_(matrix[fold, -1])
                layers += [linear, torch.nn.ReLU()]
            network = torch.nn.Sequential(*layers[:-1])
            params = list(network.parameters())
            optimizer = _torch_adam(params[::2], params[1::2], work)
            loss_of, draw = torch.nn.CrossEntropyLoss(), torch.Generator().manual_seed(fold)
            for _ in range(epochs):
                if work.batch_size is None:
                    batches = [(features, labels)]
                else:
                    order = torch.randperm(len(labels), generator=draw)
                    batches = [(features[batch], labels[batch]) for batch in order.split(work.batch_size)]
                for inputs, targets in batches:
                    optimizer.zero_grad()
                    loss_of(network(inputs), targets).backward()
                    optimizer.step()
            trained.append(network)
        return trained

    def loss(self, trained: Any) -> float:
        import torch

        with torch.no_grad():
            pairs = zip(trained, self.rows, strict=True)
            losses = [torch.nn.functional.cross_entropy(network(x), y).item() for network, (x, y) in pairs]
        return float(np.mean(losses))


class TorchBatched(Peer):
    title = "PyTorch, batched bmm"
    package = "torch"

    def build(self) -> None:
        import torch

        self.initial = [torch.from_numpy(matrix.astype(np.float32)) for matrix in self.work.initial()]
        self.features = torch.from_numpy(np.stack([x for x, _ in self.work.scaled]).astype(np.float32))
        self.labels = torch.from_numpy(np.stack([y for _, y in self.work.scaled]))

    def train(self, epochs: int) -> Any:
        import torch

        work = self.work
        params = [part.clone().requires_grad_() for matrix in self.initial for part in (matrix[:, :-1], matrix[:, -1:])]
        optimizer, draw = _torch_adam(params[::2], params[1::2], work), torch.Generator().manual_seed(0)
        rows, fold = self.features.shape[1], torch.arange(FOLDS)[:, None]
        for _ in range(epochs):
            if work.batch_size is None:
                batches = [(self.features, self.labels)]
            else:
                order = torch.stack([torch.randperm(rows, generator=draw) for _ in range(FOLDS)])
                split = order.split(work.batch_size, dim=1)
                batches = [(self.features[fold, batch], self.labels[fold, batch]) for batch in split]
            for inputs, targets in batches:
                optimizer.zero_grad()
                logits = self._logits(params, inputs)
                # The sum over folds of each fold's mean: every fold has its own gradient.
                loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
                (loss / targets.shape[1]).backward()
                optimizer.step()
        return params

    def _logits(self, params: Any, inputs: Any) -> Any:
        import torch

        for weights, biases in zip(params[:-2:2], params[1:-2:2], strict=True):
            inputs = torch.relu(torch.baddbmm(biases, inputs, weights))
        return torch.baddbmm(params[-1], inputs, params[-2])

    def loss(self, trained: Any) -> float:
        import torch

        with torch.no_grad():
            logits = self._logits(trained, self.features)
            return float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), self.labels.flatten()))


def _torch_adam(weights: Any, biases: Any, work: Work) -> Any:
    import torch

    # weight_decay of torch.optim.Adam is an L2 penalty whose gradient is weight_decay · w. fused is its fastest form.
    groups = [{"params": weights, "weight_decay": 2 * work.l2}, {"params": biases}]
    return torch.optim.Adam(groups, work.learning_rate, eps=1e-7, fused=True)


class Jax(Peer):
    title = "JAX, jit(vmap(fori_loop))"
    package = "jax"

    def build(self) -> None:
        import jax.numpy as jnp

        self.initial = [jnp.asarray(matrix, jnp.float32) for matrix in self.work.initial()]
        self.features = jnp.asarray(np.stack([x for x, _ in self.work.scaled]), jnp.float32)
        self.labels = jnp.asarray(np.stack([y for _, y in self.work.scaled]), jnp.int32)
        self.program = jax_program(self.work.batch_size, self.work.l2)

    def train(self, epochs: int) -> Any:
        import jax

        state = jax_start(self.initial)
        answer = self.program(state, self.features, self.labels, self.work.learning_rate, epochs)
        return jax.block_until_ready(answer)

    def loss(self, trained: Any) -> float:
        import jax

        return float(jax.vmap(jax_loss)(trained[0], self.features, self.labels).mean())


def jax_start(initial: Any) -> Any:
    """(params, means, caches, keys, updates done) of all folds."""
    import jax

    zeros = [matrix * 0 for matrix in initial]
    return initial, zeros, zeros, jax.random.split(jax.random.key(0), FOLDS), jax.numpy.zeros(FOLDS, jax.numpy.int32)


def jax_loss(params: Any, features: Any, labels: Any) -> Any:
    """Mean cross-entropy of one network, ``params`` weights above biases."""
    import jax
    import jax.numpy as jnp

    values = features
    for matrix in params[:-1]:
        values = jax.nn.relu(values @ matrix[:-1] + matrix[-1])
    logits = values @ params[-1][:-1] + params[-1][-1]
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1).mean()


def jax_program(batch_size: int | None, l2: float | None = None) -> Any:
    """Epochs of Adam over all folds, compiled once for each shape; with l2 None, it is an argument."""
    import jax
    import jax.numpy as jnp

    def one_fold(state: Any, features: Any, labels: Any, rate: Any, epochs: Any, decay: Any, strength: Any) -> Any:
        def total(params: Any, x: Any, y: Any) -> Any:
            return jax_loss(params, x, y) + strength * sum((matrix[:-1] ** 2).sum() for matrix in params)

        def update(state: Any, x: Any, y: Any) -> Any:
            params, means, caches, key, t = state
            grads = jax.grad(total)(params, x, y)
            means = [0.9 * mean + 0.1 * grad for mean, grad in zip(means, grads, strict=True)]
            caches = [0.999 * cache + 0.001 * grad**2 for cache, grad in zip(caches, grads, strict=True)]
            first, second, now = 1 - 0.9 ** (t + 1.0), 1 - 0.999 ** (t + 1.0), rate / (1 + decay * t)
            params = [
                matrix - now * (mean / first) / (jnp.sqrt(cache / second) + 1e-7)
                for matrix, mean, cache in zip(params, means, caches, strict=True)
            ]
            return params, means, caches, key, t + 1

        def epoch(_: Any, state: Any) -> Any:
            if batch_size is None:
                return update(state, features, labels)
            params, means, caches, key, t = state
            key, now = jax.random.split(key)
            order = jax.random.permutation(now, len(labels))

            def step(number: Any, state: Any) -> Any:
                batch = jax.lax.dynamic_slice_in_dim(order, number * batch_size, batch_size)
                return update(state, features[batch], labels[batch])

            return jax.lax.fori_loop(0, len(labels) // batch_size, step, (params, means, caches, key, t))

        return jax.lax.fori_loop(0, epochs, epoch, state)

    def program(
        state: Any, features: Any, labels: Any, rate: Any, epochs: Any, decay: Any = 0.0, strength: Any = l2
    ) -> Any:
        folds = jax.vmap(one_fold, in_axes=(0, 0, 0, None, None, None, None))
        return folds(state, features, labels, rate, epochs, decay, strength)

    return jax.jit(program)


class Pytabkit(Peer):
    """Its RealMLP trains all folds at once; here as a plain network, without what else that model does.

    Its weight decay is AdamW's, not a penalty, and it scores the validation rows after every epoch.
    """

    title = "pytabkit, vectorised folds"
    package = "pytabkit"
    same_start = False
    penalised = False
    seconds = 4.0  # of which what a call does once takes a few tenths

    def build(self) -> None:
        data, everyone = self.work.data, np.arange(self.work.data.rows)
        self.features = self.work.scalings[0].apply(data.features).astype(np.float32)
        self.training = [split.training for split in self.work.splits]
        self.validation = np.array([np.setdiff1d(everyone, rows) for rows in self.training])

    def train(self, epochs: int) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Lightning's and PyTorch's own
            from pytabkit import RealMLP_TD_Classifier

            network = RealMLP_TD_Classifier(**self._settings(), n_epochs=epochs)
            return network.fit(self.features, self.work.data.labels, val_idxs=self.validation)

    def _settings(self) -> dict[str, Any]:
        """Of a plain network: no embeddings, no schedules, no factors of learning rates, no label smoothing."""
        work = self.work
        schedules = ("lr", "mom", "sq_mom", "opt_eps", "p_drop", "wd")
        factors = ("weight", "bias", "scale", "act", "first_layer")
        return {
            **{f"{name}_sched": "constant" for name in schedules},
            **{f"{name}_lr_factor": 1.0 for name in factors},
            "device": "cpu",
            "random_state": 7,
            "n_threads": 1,
            "n_cv": FOLDS,
            "batch_size": work.batch_size or work.training_rows,
            "hidden_sizes": list(work.neurons),
            "tfms": ["one_hot"],  # rows are standardised already
            "num_emb_type": "none",
            "act": "relu",
            "use_parametric_act": False,
            "weight_param": "standard",
            "weight_init_mode": "normal",
            "bias_init_mode": "zeros",
            "add_front_scale": False,
            "first_layer_config": {},
            "last_layer_config": {},
            "p_drop": 0.0,
            "use_ls": False,
            "opt": "adam",
            "lr": work.learning_rate,
            "mom": 0.9,
            "sq_mom": 0.999,
            "opt_eps": 1e-7,
            "wd": 2 * work.l2,
        }

    def loss(self, trained: Any) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            probabilities = trained.predict_proba_ensemble(self.features)
        labels = self.work.data.labels
        own = [of_fold[rows, labels[rows]] for of_fold, rows in zip(probabilities, self.training, strict=True)]
        return float(-np.log(own).mean())


PEERS: tuple[type[Peer], ...] = (
    LockStep,
    Fast,
    TextbookLoop,
    ScikitLearn,
    TorchEager,
    TorchBatched,
    Jax,
    Pytabkit,
)
