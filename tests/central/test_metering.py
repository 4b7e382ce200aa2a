"""Every figure is in the operators' guides, in both languages."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_figure_is_documented() -> None:
    sources = ["protocol/node/metering.py", "central/metering.py", "edge/metering.py"]
    named = {n for s in sources for n in re.findall(r'"(tillmesh_\w+)"', (ROOT / s).read_text())}
    assert len(named) > 25
    for page in ("docs/operations.md", "docs/operations.zh.md"):
        shown = set(re.findall(r"`(tillmesh_\w+)`", (ROOT / page).read_text(encoding="utf-8")))
        assert named == shown, page


def test_log_events_are_stable_names() -> None:
    """Alerts are built on them."""
    odd = []
    for folder in ("protocol", "central", "edge", "devices"):
        for file in (ROOT / folder).rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            names = re.findall(r'\blog\.(?:info|warning|error|exception)\(\s*"([^"]*)"', text)
            odd += [(file.name, name) for name in names if not re.fullmatch(r"[a-z_]+", name)]
    assert odd == []
