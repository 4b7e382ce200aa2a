"""gettext with types; every module of the pages takes its words from here."""

from flask_babel import gettext, ngettext


def _(text: str, **values: object) -> str:
    """The text in the page's language, `%(name)s` filled in."""
    return str(gettext(text, **values))


def plural(one: str, many: str, num: int) -> str:
    """The same for counted things; `%(num)s` is the count."""
    return str(ngettext(one, many, num))
