"""A page printed to PDF by an installed browser, without a window and without a network."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from hpsearch.errors import HpsearchError, Setting

# As they are called on PATH, and where they lie on macOS and Windows. An environment may name another, as for Kaleido.
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge")
_PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
_NAMED_BY = "BROWSER_PATH"
# The page fetches nothing and its policy lets it run nothing but its own scripts, so it may do without the sandbox,
# which neither root nor most containers have.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-pdf-header-footer",
    "--virtual-time-budget=30000",  # milliseconds of the page's own clock, within which its figures are drawn
)
_MOST_SECONDS = 180.0


def find_browser() -> str | None:
    """A browser of Chromium's kind that is installed; None if there is none."""
    named = os.environ.get(_NAMED_BY)
    found = (shutil.which(name) for name in ([named] if named else [*_NAMES, *_PLACES]))
    return next(filter(None, found), None)


def printed(page: str) -> bytes:
    """A page as PDF.

    Args:
        page: HTML that fetches nothing.

    Raises:
        HpsearchError: there is no browser, or it prints nothing.
    """
    must, do = "A report as PDF needs Chrome or Chromium", ("Install one, or write .html with ", Setting("output"), ".")
    browser = find_browser()
    if browser is None:
        named = os.environ.get(_NAMED_BY)
        raise HpsearchError(must, f"{_NAMED_BY} names {named!r}, which is none" if named else "there is none", do)
    with tempfile.TemporaryDirectory(prefix="hpsearch-", ignore_cleanup_errors=True) as folder:
        html, pdf = Path(folder, "report.html"), Path(folder, "report.pdf")
        html.write_text(page, encoding="utf-8")
        command = [browser, *_FLAGS, f"--user-data-dir={folder}/profile", f"--print-to-pdf={pdf}", html.as_uri()]
        said = _run(command)
        if not pdf.is_file():
            raise HpsearchError(must, f"{browser} {said}", do)
        return pdf.read_bytes()


def _run(command: list[str]) -> str:
    """Run a browser to its end, and say what that was."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        return f"does not start: {error.strerror}"
    try:
        return f"ended with status {process.wait(_MOST_SECONDS)}"
    except subprocess.TimeoutExpired:
        return f"printed nothing within {_MOST_SECONDS:.0f} seconds"
    finally:
        if process.poll() is None:  # too late, or interrupted: its own processes end with it
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
