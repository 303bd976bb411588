"""A page printed to PDF by an installed browser, without a window and without a network."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

from hpsearch.errors import HpsearchError, Setting, Text, quoted
from hpsearch.temporary import TemporaryFolder

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


_MUST = "A report as PDF needs Chrome or Chromium"
_DO: Text = ("Install one, or write .html with ", Setting("output"), ".")


def require_browser() -> str:
    """A browser of Chromium's kind that is installed.

    Raises:
        HpsearchError: there is none.
    """
    named = os.environ.get(_NAMED_BY)
    found = next(filter(None, map(shutil.which, [named] if named else [*_NAMES, *_PLACES])), None)
    if found is None:
        raise HpsearchError(_MUST, f"{_NAMED_BY} names {quoted(named)}" if named else "there is none", _DO)
    return found


def printed(page: str, browser: str) -> bytes:
    """A page as PDF.

    Args:
        page: HTML that fetches nothing.
        browser: what :func:`require_browser` found.

    Raises:
        HpsearchError: it prints nothing.
    """
    with TemporaryFolder() as folder:
        html, pdf, profile = (folder.path / name for name in ("report.html", "report.pdf", "profile"))
        html.write_text(page, encoding="utf-8")
        said = _run([browser, *_FLAGS, f"--user-data-dir={profile}", f"--print-to-pdf={pdf}", html.as_uri()])
        if not pdf.is_file():
            raise HpsearchError(_MUST, f"{browser} {said}", _DO)
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
