"""A keyboard-wedge scanner at a real page: keys with the times of the hardware.

    wedge(page, "6901028075831", "6921168509256")

A busy test machine delays keys but not the times they carry. The times are those of the page's own
clock: the wall clock of a machine may step while a browser runs.
"""

import time
from typing import Final

from playwright.sync_api import Page

KEY_S: Final = 0.004  # between two keys of a keyboard-wedge scanner
WATCH: Final = """() => addEventListener(
    "keyup", (event) => { window.seenKey = event.timeStamp; }, {capture: true, once: true})"""
AHEAD_MS: Final = "() => performance.now() - window.seenKey"


def wedge(page: Page, *codes: str, ahead_s: float = 0.0, stall_s: float = 0.0) -> None:
    """All keys of a code, Enter, the next code at once.

    `ahead_s`: the times are those of a clock that runs ahead. `stall_s`: the machine brings each
    Enter so much later than its time says.
    """
    keyboard = page.context.new_cdp_session(page)
    at_s = time.time()
    page.evaluate(WATCH)
    shift = {"key": "Shift", "windowsVirtualKeyCode": 16, "timestamp": at_s}
    keyboard.send("Input.dispatchKeyEvent", {**shift, "type": "keyUp"})
    at_s += page.evaluate(AHEAD_MS) / 1000 + ahead_s
    for key in [key for code in codes for key in [*code, "Enter"]]:
        at_s += KEY_S
        if key == "Enter":
            time.sleep(stall_s)
        text, number = ("\r", 13) if key == "Enter" else (key, ord(key.upper()))
        event = {"key": key, "windowsVirtualKeyCode": number, "timestamp": at_s}
        keyboard.send("Input.dispatchKeyEvent", {**event, "type": "keyDown", "text": text})
        keyboard.send("Input.dispatchKeyEvent", {**event, "type": "keyUp"})
    keyboard.detach()
