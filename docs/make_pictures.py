# ruff: noqa: INP001 - a script, not a package
"""The pictures in README.md and docs/: a bakery chain is started, sells, and is photographed.

python docs/make_pictures.py [FOLDER]      (default: docs/images; needs Chromium and a CJK font)
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from deploy import bakery
from deploy.chain import Chain
from deploy.visitors import Visitor, new_id
from deploy.walks import CODE, MOVED, Walks

CHROMIUM = "/usr/bin/chromium"
LANGUAGES = ("en", "zh")
BYTES_MAX = 250_000
TILL_SIZE, OFFICE_SIZE, PHONE_SIZE = (1280, 800), (1360, 900), (390, 844)
EARLIER = [
    ("S1", "P0001", "P0001", "P0001"),
    ("S2", "P0190", "P0191"),
    ("S1", "P0145", "P0150"),
    ("S2", "P0060", "P0001", "P0100"),
    ("S1", "P0185", "P0050", "P0110"),
    ("S2", "P0085"),
    ("S1", "P0120", "P0192", "P0192"),
]
ON_THE_COUNTER = ("P0001", "P0001", "P0014", "P0187", "P0188", "P0100")


@contextmanager
def chain() -> Iterator[Walks]:
    """The demo's chain on free ports, with stock on the shelves and a morning's sales."""
    with tempfile.TemporaryDirectory(prefix="tillmesh-pictures-") as folder:
        running = Chain(Path(folder) / "chain", fixed_ports=False)
        try:
            running.create()
            running.start()
            walks = Walks(running, lambda _: None)
            walks.prepare()
            yield walks
            walks.close()
        finally:
            running.stop()


def work(walks: Walks) -> None:
    """A morning: sales in both shops, a transfer on its way, a basket on the counter."""
    for store, *skus in EARLIER:
        walks.clerks[store].sell(*(CODE[sku] for sku in skus))
    lines = [{"sku": MOVED, "qty_milli": 10_000}]
    walks.clerks["S1"].call(
        "/api/documents/dispatch", {"document": new_id(), "to_store": "S2", "lines": lines}
    )
    walks.settled()
    for sku in ON_THE_COUNTER:
        walks.clerks["S1"].scan(CODE[sku])


class Camera:
    """A browser that borrows somebody's cookies and writes small pictures."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self._browser = browser
        self._folder = folder

    def takes(self, name: str, who: Visitor, path: str, *, size: tuple[int, int]) -> None:
        """The page in both languages."""
        for language in LANGUAGES:
            context = self._browser.new_context(
                viewport={"width": size[0], "height": size[1]}, device_scale_factor=1
            )
            root = f"http://{who.host}"
            context.add_cookies(
                [{"name": k, "value": v, "url": root} for k, v in who.cookies.items()]
            )
            page = context.new_page()
            joint = "&" if "?" in path else "?"
            page.goto(f"{root}{path}{joint}lang={language}")
            page.wait_for_timeout(1_500)  # live figures and fonts
            self._write(f"{name}-{language}.png", page)
            context.close()

    def _write(self, name: str, page: Page) -> None:
        picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
        small = picture.quantize(colors=128, dither=Image.Dither.NONE)
        target = self._folder / name
        small.save(target, optimize=True)
        size = target.stat().st_size
        sys.stdout.write(f"{target}  {size // 1000} kB\n")
        if size >= BYTES_MAX:
            raise SystemExit(f"{name} is too large for a repository")


def main() -> None:
    """Start, sell, photograph."""
    folder = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with chain() as walks, sync_playwright() as playwright:
        work(walks)
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        camera = Camera(browser, folder)
        a, b = walks.clerks["S1"], walks.clerks["S2"]
        camera.takes("till", a, "/till", size=TILL_SIZE)
        camera.takes("office", walks.officer, "/", size=OFFICE_SIZE)
        rule = bakery.PROMOTIONS[0]["id"]
        camera.takes("push", walks.officer, f"/promotions/{rule}", size=OFFICE_SIZE)
        camera.takes("phone", b, "/home", size=PHONE_SIZE)
        camera.takes("health", a, "/health", size=(1280, 760))
        hardware = Visitor(walks.chain.shops["S1"].devices.page_url)
        camera.takes("hardware", hardware, "/", size=(1280, 900))
        browser.close()


if __name__ == "__main__":
    main()
