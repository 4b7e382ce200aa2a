"""The commands of docs/operations.md are run as they stand there, but for folders and accounts."""

import re
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from deploy.visitors import Officer
from tests.deploy.walking import OPERATOR, ROOT, SECRETS, Walk, blocks, page, section, until
from tests.servers import find_program, missing, postgres_server

PAIR = f"{OPERATOR}tillmesh-edge -s edge.toml pair --till 1"
GOODS = "sku,name_zh,group,tax_rate,unit,codes,price\nA,吐司,bread,13,pc,6901234567892,9.90\n"
CODE = "6901234567892"


def test_both_languages_give_the_same_commands() -> None:
    assert blocks(page()) == blocks(page("operations.zh.md"))


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.nightly)],
)
def walk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Walk]:
    if request.param == "sqlite":
        made = Walk(tmp_path)
        yield made
        made.over()
        return
    assert find_program("initdb"), missing("postgresql")
    with postgres_server() as postgres:
        made = Walk(tmp_path, database_url=postgres.fresh_database())
        yield made
        made.over()


@contextmanager
def officer(walk: Walk) -> Iterator[Officer]:
    """The admin, signed in."""
    with closing(Officer(walk.office_url)) as admin:
        admin.sign_in("ADMIN", SECRETS["ADMIN_PASSWORD"])
        yield admin


def goods(walk: Walk) -> None:
    """What head office's guide tells: a group, products, prices."""
    with officer(walk) as admin:
        admin.page("/groups")
        admin.form("/groups", group="bread", name_zh="面包", name_en="Bread")
    (walk.office / "goods.csv").write_text(GOODS, encoding="utf-8")
    walk.run(f"{OPERATOR}tillmesh-central -s central.toml import-products goods.csv --apply")


@pytest.mark.slow
def test_an_operator_does_what_the_guide_says(walk: Walk) -> None:
    """Set up, join, sell, lock out, back up, restore a shop, replace it, restore head office."""
    for heading in ("Head office", "Join a shop, step by step"):
        for block in section(heading):
            walk.do(block)
    installed = (ROOT / "deploy" / "broker.sh").read_text(encoding="utf-8")
    names = {p.name for p in (walk.office / "broker").iterdir()}
    assert names == {"authority.pem", "broker.pem", "revoked.pem", "tillmesh.acl", "tillmesh.conf"}
    assert all(name in installed for name in names)
    goods(walk)
    until("the shop has its books", walk.level)
    walk.pair(PAIR)
    assert walk.sell(CODE) == "1-1-000001"

    listed, renewed, revoked = section("Certificates: renew, revoke")
    walk.do(listed)
    assert re.fullmatch(r"S1  (89|90) days  [0-9a-f]+\n", walk.said)
    walk.do(revoked)
    walk.broker_service()
    assert walk.sell(CODE) == "1-1-000002"  # it sells on, and nobody hears it
    assert not walk.level()
    walk.do(renewed)
    until("what it sold meanwhile is there", walk.level)

    for block in section("Backup"):
        walk.do(block)
    assert f'\nbackup_dir = "{walk.backup}"' in (walk.office / "central.toml").read_text()
    assert len(list(walk.backup.glob("drill-*.md"))) == 2
    before = min(walk.backup.glob("central-*.tmbk")).name
    assert walk.sell(CODE) == "1-1-000003"
    until("that is there too", walk.level)

    for block in section("Restore a shop"):
        walk.do(block)
    until("the shop has what the backup lacked", walk.level)
    walk.pair(PAIR)
    assert walk.sell(CODE) == "1-2-000001"
    until("all is there", walk.level)

    walk.end("tillmesh-edge", 9)
    shutil.move(walk.shop, walk.folder / "old")
    for block in section("Replace a dead PC"):
        walk.do(block)
    assert "started from head office's snapshot" in (walk.shop / "run.log").read_text()
    walk.pair(PAIR)
    assert walk.sell(CODE) == "1-3-000001"
    until("the new one is heard", walk.level)
    walk.do(listed)
    assert re.match(r"S1  (89|90) days  .*\nS1  replaced  .*\nS1  revoked  ", walk.said)

    walk.archive = before  # older than the new machine
    for block in section("Restore head office"):
        walk.do(block)
    until("its own words are back", walk.level)
    assert walk.sell(CODE) == "1-3-000002"
    until("it hears the shop", walk.level)
    with officer(walk) as admin:
        assert "shop/S1" not in admin.page("/forks")
    walk.do(listed)
    assert re.match(r"S1  (89|90) days  .*\nS1  replaced  .*\nS1  revoked  ", walk.said)
    assert len(walk.done) > 35
