"""Takes the pictures of the READMEs: a real run of studies/spiral.toml, its report and the dashboard on it.

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
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

import hpsearch

TOP = Path(__file__).parent.parent
PICTURES = TOP / "tests" / "pictures"
SIZE = {"width": 1180, "height": 860}
# No sandbox as root; nothing that calls home.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


def take(browser: Any, address: str, name: str, ready: str, wheel: int = 0) -> None:
    """A picture of what a page shows once it has the text ``ready``."""
    page = browser.new_page(viewport=SIZE)
    page.goto(address)
    page.get_by_text(ready).first.wait_for()
    page.mouse.move(SIZE["width"] / 2, SIZE["height"] / 2)
    page.mouse.wheel(0, wheel)
    page.mouse.move(0, 0)
    page.wait_for_timeout(8000)  # figures are drawn after their text, and the dashboard asks for news
    page.screenshot(path=PICTURES / name)
    page.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        os.chdir(folder)
        shutil.copytree(TOP / "studies", "studies")
        hpsearch.run("studies/spiral.toml", workers=2)
        hpsearch.report("spiral", "report.html")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        take(browser, f"file://{folder}/report.html", "report.png", "corrected score")
        command = [sys.executable, "-u", "-m", "hpsearch", "dashboard", "--port", "0", "--no-open"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            found = re.search(r"http://\S+", server.stdout.readline())
            assert found
            take(browser, f"{found[0]}/studies/1", "dashboard.png", "What a larger network buys", wheel=1170)
            server.terminate()
        browser.close()


if __name__ == "__main__":
    main()
