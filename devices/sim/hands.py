"""What a hand does to the devices of a till: one line per button of the page.

    HANDS["paper-out"](till, "")          # pull the roll out of the till's printer
    HANDS["scan"](till, "6901028075831")  # the trigger, with the code that lies in front of it

A new button is a line here, its words in `words`, and a line in its device's panel
(`templates/panels/`). What came in the form's field is the second argument: it may be anything.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from devices.sim.paypage import show_pay_code

if TYPE_CHECKING:
    from devices.sim.store import VirtualTill

CODE_MAX: Final = 2048
Hand = Callable[["VirtualTill", str], object]


def _scan(till: "VirtualTill", code: str) -> None:
    if 0 < len(code) <= CODE_MAX:
        till.scanner.scan(code)


def _weigh(till: "VirtualTill", grams: str) -> None:
    if till.scale is not None and grams.isascii() and grams.isdigit() and len(grams) <= 5:
        till.scale.put(int(grams))


def _shake(till: "VirtualTill", *, moving: bool) -> None:
    if till.scale is not None:
        till.scale.put(till.scale.grams, moving=moving)


def _scale_cable(till: "VirtualTill", *, plugged: bool) -> None:
    if till.scale is None:
        return
    if plugged:
        till.scale.plug()
    else:
        till.scale.unplug()


HANDS: Final[dict[str, Hand]] = {
    # scanner
    "scan": _scan,
    "unplug": lambda till, _: till.scanner.unplug(),
    "plug": lambda till, _: till.scanner.plug(),
    "pay-code": lambda till, _: show_pay_code(till),
    # printer
    "paper-out": lambda till, _: till.printer.set(paper=0),
    "paper-low": lambda till, _: till.printer.set(paper=1),
    "paper-in": lambda till, _: till.printer.set(paper=2, lines_left=None),
    "cover-open": lambda till, _: till.printer.set(cover_open=True),
    "cover-close": lambda till, _: till.printer.set(cover_open=False),
    "jam": lambda till, _: till.printer.set(cutter_jam=True),
    "jam-clear": lambda till, _: till.printer.set(cutter_jam=False),
    "power-off": lambda till, _: till.printer.power_off(),
    "power-on": lambda till, _: till.printer.power_on(),
    "cable-out": lambda till, _: till.printer.unplug(),
    "cable-in": lambda till, _: till.printer.plug(),
    "mute": lambda till, _: till.printer.trouble(mute=True),
    "speak": lambda till, _: till.printer.trouble(mute=False),
    # scale
    "weigh": _weigh,
    "shake": lambda till, _: _shake(till, moving=True),
    "still": lambda till, _: _shake(till, moving=False),
    "scale-out": lambda till, _: _scale_cable(till, plugged=False),
    "scale-in": lambda till, _: _scale_cable(till, plugged=True),
}
