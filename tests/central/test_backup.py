"""A backup of either database holds everything but the epoch."""

import shutil
import subprocess

import pytest

from central.backup import back_up
from central.compose import HeadOffice
from protocol.errors import Unavailable
from tests.central.shops import NOON
from tests.servers import find_program


def test_a_backup_holds_everything_but_the_epoch(office: HeadOffice) -> None:
    office.catalogue.define_group("bread", zh="面包", en="Bread", by="ann")
    if shutil.which("pg_dump") is None and not office.books.database.sqlite:
        pytest.fail("pg_dump is not on PATH")
    folder = back_up(office.settings, NOON, to=office.settings.data_dir / "kept")
    assert folder.name == "bakery-20261118-" + folder.name[-6:]
    names = {file.name for file in folder.iterdir()}
    if office.books.database.sqlite:
        assert names == {"central.key", "central.db"}
        return
    assert names == {"central.key", "central.dump"}
    program = find_program("pg_restore")
    assert program
    listed = subprocess.run(
        [program, "--list", folder / "central.dump"], capture_output=True, text=True, check=True
    ).stdout
    assert "TABLE DATA public journal" in listed
    assert "TABLE public own_epoch" in listed
    assert "TABLE DATA public own_epoch" not in listed


def test_a_backup_that_fails_says_so(office: HeadOffice) -> None:
    office.settings.key_path.unlink()
    with pytest.raises(Unavailable, match="BACKUP_FAILED"):
        back_up(office.settings, NOON, to=office.settings.data_dir / "kept")
