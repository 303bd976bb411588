"""Takes the pictures of the READMEs: a real run of studies/spiral.toml, its report, and the dashboard on it and others.

    python tests/make_pictures.py

It needs Debian's chromium, and writes tests/pictures/*.png.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

import hpsearch

TOP = Path(__file__).parent.parent
PICTURES = TOP / "tests" / "pictures"
# No sandbox as root; nothing that calls home.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


def take(browser: Any, address: str, name: str, ready: str, height: int = 860) -> None:
    """A picture of what a page shows once it has a text that matches ``ready``."""
    page = browser.new_page(viewport={"width": 1180, "height": height})
    page.goto(address)
    page.get_by_text(re.compile(ready)).first.wait_for(timeout=120_000)
    page.wait_for_timeout(3000)  # figures are drawn after their text
    page.screenshot(path=PICTURES / name)
    page.close()


def stop_after_30(progress: Any) -> None:
    if len(progress.results) >= 30:
        raise KeyboardInterrupt


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        os.chdir(folder)
        shutil.copytree(TOP / "studies", "studies")
        hpsearch.run("studies/spiral.toml", workers=2)
        hpsearch.report("spiral", "report.html")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        take(browser, f"file://{folder}/report.html", "report.png", "corrected score")
        hpsearch.run("studies/flowers.toml", workers=2)
        hpsearch.run("studies/diabetes.toml", workers=2)
        with suppress(KeyboardInterrupt):
            hpsearch.run("studies/wine.toml", workers=2, watch=stop_after_30)
        program = [sys.executable, "-u", "-m", "hpsearch"]
        with (
            subprocess.Popen([*program, "run", "studies/digits.toml"], stdout=subprocess.DEVNULL) as run,
            subprocess.Popen(
                [*program, "dashboard", "--port", "0", "--no-open"], stdout=subprocess.PIPE, text=True
            ) as server,
        ):
            assert server.stdout is not None
            found = re.search(r"http://\S+", server.stdout.readline())
            assert found
            take(browser, found[0], "dashboard.png", r"[1-9] of 25", height=520)
            run.terminate()
            server.terminate()
        browser.close()


if __name__ == "__main__":
    main()
