"""The pictures of the manual, of the page as the tests fill it. `just pictures` makes them again.

The tests draw the same pictures, so that the manual's can be made again at any time.
"""

import os
import tempfile
from pathlib import Path

from browser.views import views
from paths import ROOT, TARGET
from playwright.sync_api import expect, sync_playwright

IMAGES = ROOT / "docs/guides/images"
MOST_BYTES = 100_000
SIZE = {"width": 960, "height": 560}
# Name of the picture, and its view.
PICTURES = {
    "arrivals": "arrivals",
    "ignored": "arrival-ignored",
    "running": "delivery-running",
    "rule": "rule",
    "queue": "queue",
    "problems": "problems",
}


def draw(daemon, url, page, folder):
    """Writes all pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    addresses = views(daemon)
    for name, view in PICTURES.items():
        page.goto(url + addresses[view])
        if view == "delivery-running":
            expect(page.locator("[data-output]")).to_contain_text("step 2")
        page.screenshot(path=folder / f"{name}.png", scale="css")


def main():
    from browser.conftest import ARGUMENTS
    from browser.relay import Relay
    from browser.traffic import shop

    binary = Path(os.environ.get("HOOKYARD_BINARY") or TARGET / "debug/hookyard").resolve()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        daemon = shop(binary, Path(folder))
        try:
            with Relay(daemon.socket) as relay:
                browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
                draw(daemon, relay.url, browser.new_page(viewport=SIZE, color_scheme="light"), IMAGES)
                browser.close()
        finally:
            daemon.stop()
    for image in sorted(IMAGES.glob("*.png")):
        print(f"{image.relative_to(ROOT)}: {image.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
