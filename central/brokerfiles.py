"""What Mosquitto needs for this chain, as files: certificates, revocations, access rules, settings.

The broker is only the wire: what counts is kept in the journals of shops and head office. It keeps
strangers out and shops apart: a certificate says who somebody is, that name is his user name *and*
his client id (without the latter, certificate 2 can throw client 1 off), and whatever is not
listed is denied.
"""

from pathlib import Path
from typing import Final

from central.authority import Authority
from protocol.node import certificates
from protocol.topics import UP_LEAVES

CONF: Final = "tillmesh.conf"
WORKERS: Final = tuple(f"central-{n}" for n in range(1, 17))  # further processes of head office

ACL: Final = """\
# Who may read and write what. Everything that is not listed is denied.
# %u is the user name, which is the node id. The topics are explained in docs/wire.md. Mosquitto
# warns at its start of patterns without %u; they are meant: every shop may read those.

# Head office.
user central
topic readwrite pos/1/#
topic read $SYS/broker/log/#

# Every shop: speaks under its own name only, on topics that can be counted (a broker keeps retained
# messages for ever) ...
{ups}
# ... hears what head office tells it ...
pattern read pos/1/{chain}/dn/%u/#
# ... what head office tells everybody, the prices of the zones (they hang on the shelves) and the
# stock figures among neighbours.
pattern read pos/1/{chain}/all/#
pattern read pos/1/{chain}/zone/#
pattern read pos/1/{chain}/grp/#
"""
UP: Final = "pattern write pos/1/{chain}/up/+/%u/{leaf}"
WORKER_ACL: Final = "\nuser {name}\ntopic readwrite pos/1/#\ntopic read $SYS/broker/log/#\n"

SETTINGS: Final = """\
# Mosquitto for one Tillmesh chain: mutual TLS, deny by default. Made by
# `tillmesh-central broker-files`; run that again rather than changing it here.
per_listener_settings true

# A large message is refused here before anybody reads it; Tillmesh sends 128 KiB at most.
max_packet_size 262144
# An explicit large number: 0 means "no limit" but is broken in some 2.0 versions.
max_queued_messages 100000
# What waits for one slow reader; whoever is not answered sends again. Without it a flood from one
# shop fills the memory of this machine.
max_queued_bytes 268435456
set_tcp_nodelay true

listener {port}
cafile {at}/authority.pem
certfile {at}/broker.pem
keyfile {at}/broker.pem
crlfile {at}/revoked.pem
tls_version tlsv1.2
require_certificate true
use_identity_as_username true
use_username_as_clientid true
allow_anonymous false
acl_file {at}/tillmesh.acl

# Head office hears of strangers at the door.
log_dest topic
"""


def acl(chain: str) -> str:
    """The access rules of a chain, each process of head office by its own name."""
    ups = "\n".join(UP.format(chain=chain, leaf=leaf) for leaf in UP_LEAVES)
    return ACL.format(chain=chain, ups=ups) + "".join(
        WORKER_ACL.format(name=name) for name in WORKERS
    )


def write_broker_files(
    authority: Authority, pair: Path, target: Path, *, port: int, at: Path | None = None
) -> list[Path]:
    """Write all into `target`; `at` is where the broker will find them, if that is elsewhere."""
    home = at or target.resolve()
    files = {
        "authority.pem": authority.pem.encode(),
        "broker.pem": pair.read_bytes(),
        "revoked.pem": authority.crl_path.read_bytes(),
        "tillmesh.acl": acl(authority.chain).encode(),
        CONF: SETTINGS.format(port=port, at=home).encode(),
    }
    for name, data in files.items():
        certificates.keep(target / name, data)
    return [target / name for name in files]
