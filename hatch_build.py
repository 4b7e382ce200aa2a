"""Compile the translations whenever the package is built or installed editable."""

from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def compile_translations(root: Path) -> int:
    """Write the .mo beside every .po below edge/ and central/; return how many."""
    count = 0
    for house in ("edge", "central"):
        for po in sorted((root / house / "translations").glob("*/LC_MESSAGES/*.po")):
            with po.open("rb") as source:
                catalog = read_po(source, locale=po.parent.parent.name)
            with po.with_suffix(".mo").open("wb") as target:
                write_mo(target, catalog)
            count += 1
    return count


class TranslationHook(BuildHookInterface):  # type: ignore[misc,type-arg]
    """Hatchling calls this before it collects the files of a wheel."""

    def initialize(self, version: str, build_data: dict[str, object]) -> None:  # noqa: ARG002
        """Compile, so that a wheel without the message catalogues cannot be built."""
        compile_translations(Path(self.root))


if __name__ == "__main__":
    compile_translations(Path(__file__).parent)
