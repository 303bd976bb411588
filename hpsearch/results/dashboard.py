"""The live dashboard: optuna-dashboard on a storage, served to this machine alone."""

from __future__ import annotations

from collections.abc import Callable

from hpsearch.errors import HpsearchError
from hpsearch.study.database import open_storage

HOST = "127.0.0.1"


def serve(url: str, port: int, announce: Callable[[str], None]) -> None:
    """Serve the dashboard on loopback until interrupted.

    Args:
        url: the storage.
        port: a free port; 0 lets the system choose one.
        announce: told the address once the server listens.

    Raises:
        HpsearchError: the storage cannot be opened or the port cannot be had.
    """
    import optuna_dashboard
    import waitress

    application = optuna_dashboard.wsgi(open_storage(url))
    try:
        server = waitress.create_server(application, host=HOST, port=port)
    except OSError as error:
        raise HpsearchError(
            f"The port {port} must be free, but {(error.strerror or str(error)).lower()}. Choose another with --port."
        ) from error
    announce(f"http://{HOST}:{server.effective_port}/dashboard/")
    try:
        server.run()
    finally:
        server.close()
