"""Every MQTT topic on one page (sync.md, 2.1).

    pos/1/{chain}/up/{shard}/{store}/state|journal|hb|req|ack|cert  a shop speaks
    pos/1/{chain}/dn/{store}/ack|journal|cmd|rsp|state|cert       head office answers one shop
    pos/1/{chain}/hq/{worker}/state                               one of several ingest workers
    pos/1/{chain}/all/journal|state|clock                         head office speaks to all
    pos/1/{chain}/all/manifest/{stream}                           how far a shared stream is
    pos/1/{chain}/zone/{zone}/journal                             live tail of a zone's prices
    pos/1/{chain}/grp/{group}/stock                               stock figures among neighbours

The topic only routes: the envelope says what a message is, and the signature who wrote it.
"""

from zlib import crc32

import msgspec

from protocol.ids import ALL, is_id, zone_stream

VERSION = 1
SHARDS = 64
UP_LEAVES = ("state", "journal", "hb", "req", "ack", "cert")


class Topic(msgspec.Struct, frozen=True):
    """A parsed topic. `name` is the store, zone or group; empty for `all`."""

    branch: str  # up, dn, all, zone, grp
    name: str
    leaf: str


def shard_of(store: str) -> int:
    """Fixed at enrolment: crc32(store) % 64."""
    return crc32(store.encode()) % SHARDS


class Topics:
    """All topics of one chain."""

    def __init__(self, chain: str) -> None:
        self._root = f"pos/{VERSION}/{chain}"

    def up(self, store: str, leaf: str) -> str:
        """What a shop says: state, journal, hb, req, ack, cert."""
        return f"{self._root}/up/{shard_of(store)}/{store}/{leaf}"

    def dn(self, store: str, leaf: str) -> str:
        """What head office says to one shop: ack, journal, cmd, rsp, cert."""
        return f"{self._root}/dn/{store}/{leaf}"

    def all(self, leaf: str) -> str:
        """What head office says to everybody: journal, state, clock."""
        return f"{self._root}/all/{leaf}"

    def manifest(self, stream: str) -> str:
        """How far a shared stream is, retained."""
        return f"{self._root}/all/manifest/{stream}"

    def zone(self, zone: str, leaf: str = "journal") -> str:
        """The live tail of a price zone."""
        return f"{self._root}/zone/{zone}/{leaf}"

    def group(self, group: str, leaf: str = "stock") -> str:
        """Stock figures among neighbours."""
        return f"{self._root}/grp/{group}/{leaf}"

    def tail(self, stream: str) -> str | None:
        """The shared topic of a stream's live tail; None for streams that have one follower."""
        kind, _, name = stream.partition("/")
        if kind == "all":
            return self.all("journal")
        return self.zone(name) if kind == "zone" else None

    def for_central(self) -> list[str]:
        """What head office subscribes to."""
        return [f"{self._root}/up/+/+/{leaf}" for leaf in UP_LEAVES]

    def for_store(self, store: str, zone: str, group: str) -> list[str]:
        """What a shop subscribes to."""
        return [
            f"{self._root}/dn/{store}/+",
            f"{self._root}/all/+",
            self.manifest(ALL),
            self.manifest(zone_stream(zone)),
            self.zone(zone),
            self.group(group),
        ]

    def worker(self, name: str, leaf: str = "state") -> str:
        """Birth and death of one of head office's ingest workers."""
        return f"{self._root}/hq/{name}/{leaf}"

    def for_shard(self, shard: int) -> list[str]:
        """What an ingest worker subscribes to for one shard."""
        return [f"{self._root}/up/{shard}/+/{leaf}" for leaf in UP_LEAVES]

    def parse(self, topic: str) -> Topic | None:
        """Take a topic apart; None when it is not one of ours, or under a wrong shard."""
        if not topic.startswith(self._root + "/"):
            return None
        parts = topic[len(self._root) + 1 :].split("/")
        if not all(map(is_id, parts)):
            return None
        match parts:
            case ["up", shard, store, leaf] if shard == str(shard_of(store)):
                return Topic("up", store, leaf)
            case [("dn" | "zone" | "grp") as branch, name, leaf]:
                return Topic(branch, name, leaf)
            case ["all", leaf] | ["all", "manifest" as leaf, "all"]:
                return Topic("all", "", leaf)
            case ["all", "manifest" as leaf, "zone", _]:
                return Topic("all", "", leaf)
            case _:
                return None
