"""The live dashboard: our pages on the studies of a storage, and optuna-dashboard's with notes and figures of ours."""

from __future__ import annotations

import secrets
import socket
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import optuna
from optuna.study._frozen import FrozenStudy

from hpsearch.errors import HpsearchError, Setting, one_line
from hpsearch.reporting.guard import Guard
from hpsearch.reporting.notes import study_note, trial_note
from hpsearch.reporting.overview import Overview
from hpsearch.reporting.site import Site
from hpsearch.reporting.snapshot import Snapshot
from hpsearch.reporting.view import View
from hpsearch.results.best import find_best
from hpsearch.storage.database import open_storage
from hpsearch.storage.quiet import quiet
from hpsearch.storage.records import is_ours, objective_titles
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import Moment, StoredStudy

LOOPBACK = ("127.0.0.1", "::1", "localhost")
DRAWN = ("curves", "folds", "size", "gap")  # of the figures, those that are cheap enough to be drawn again and again


def serve(
    url: str, port: int, announce: Callable[[str], None], host: str = "127.0.0.1", names: tuple[str, ...] = ()
) -> None:
    """Serve the dashboard until interrupted.

    Args:
        url: the storage. It is only read.
        port: a free port; 0 lets the system choose one.
        announce: told the address, with its token if it has one, once the server listens.
        host: the address to listen on. On any but loopback's, whoever looks must know a random token.
        names: further names that this machine is reached by, for the ``Host`` header.

    Raises:
        HpsearchError: the storage cannot be opened or the port cannot be had.
    """
    import optuna_dashboard

    from hpsearch.reporting.server import listening

    host = "127.0.0.1" if host == "localhost" else host  # which may mean two addresses
    token = None if host in LOOPBACK else secrets.token_urlsafe(24)
    storage = open_storage(url)
    view = View(storage, annotate)
    guard = Guard(Site(Overview(storage, url), optuna_dashboard.wsgi(view), view.look, view.notes), token)
    try:
        server = listening(guard, host, port)
    except (OSError, ValueError) as error:
        got = one_line(error).lower()
        others = ("Choose others with ", Setting("host"), " and ", Setting("port"), ".")
        raise HpsearchError(f"The address {host} and the port {port} must be free", got, others) from error
    guard.hosts = hosts_of(host, server.effective_port, names)  # the port is known once the server listens
    shown = socket.gethostname() if host in ("0.0.0.0", "::") else host
    address = f"[{shown}]" if ":" in shown else shown
    # What Optuna says where the charts' page asks for importances. Here once, as filters belong to no thread.
    warnings.filterwarnings("ignore", "Some regimes for parameter", UserWarning)
    announce(f"http://{address}:{server.effective_port}/" + (f"?token={token}" if token else ""))
    try:
        server.run()
    finally:
        server.close()


def hosts_of(host: str, port: int, names: tuple[str, ...] = ()) -> frozenset[str]:
    """The ``Host`` headers that mean a server on this address: a browser leaves out port 80."""
    known = [host, *names]
    if host in LOOPBACK:
        known += LOOPBACK
    elif host in ("0.0.0.0", "::"):
        known += [socket.gethostname(), socket.getfqdn()]
    written = [f"[{name}]" if ":" in name else name.lower() for name in known]
    return frozenset([f"{name}:{port}" for name in written] + (written if port == 80 else []))


def annotate(view: View, study: FrozenStudy, told_before: int) -> None:
    """Write the notes of a study and of the trials that ended since, and its figures; studies not ours have none."""
    import optuna_dashboard

    if not is_ours(study.user_attrs):
        return
    moment = Moment(study.user_attrs, view.trials(study._study_id))
    stored = StoredStudy(view.storage, view.storage.url, study.study_name, study._study_id, moment=moment)
    trials = [trial for trial in moment.trials if trial.state.is_finished()]
    results = [stored_result(trial) for trial in trials]
    with quiet():
        shown = view.study(study.study_name)
        for trial, result in list(zip(trials, results, strict=True))[told_before:]:
            view.notes(study._study_id)[trial._trial_id] = trial_note(result)
        complete = any(result.value is not None for result in results)
        best = find_best(stored) if complete else None
        optuna_dashboard.save_note(shown, study_note(stored, best))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            shown.set_metric_names(objective_titles(stored.attributes))
        if complete:
            _draw(shown, Snapshot(stored))


def _draw(shown: Any, snapshot: Snapshot) -> None:
    """Our figures, each under its own name."""
    import optuna_dashboard

    from hpsearch.reporting.figures import FIGURES  # Plotly takes a second, which no refusal need wait for

    for name in DRAWN:
        with suppress(HpsearchError):  # nothing to draw yet
            optuna_dashboard.save_plotly_graph_object(shown, FIGURES[name].make(snapshot), graph_object_id=name)
