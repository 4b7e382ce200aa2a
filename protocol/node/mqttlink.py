"""The wire: one MQTT connection on paho 2 that heals itself and keeps nothing.

Only the journal resends, so each connection is a fresh client with a clean session. paho's
thread does the writing and reading, ours watches it: when the link dies or never comes up, the
client is thrown away and a new one made after a back-off with full jitter. Callbacks only enqueue.
"""

import contextlib
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable

import msgspec
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from protocol.wire import MESSAGE_BYTES_MAX

KEEPALIVE_S = 15
CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 3  # amqtt never answers an MQTT 5 CONNECT that carries a will
BACKOFF_S_MIN = 0.2
BACKOFF_S_MAX = 15.0
TAKEOVERS_A_MINUTE_MAX = 3


class Message(msgspec.Struct, frozen=True):
    """What arrived."""

    topic: str
    payload: bytes


class Broker(msgspec.Struct, frozen=True):
    """Where the broker is and who we are there."""

    host: str
    port: int
    client_id: str
    username: str = ""
    password: str = ""
    tls: Callable[[], ssl.SSLContext] | None = None  # made anew for each connection
    others: tuple[str, ...] = ()  # further nodes of a clustered broker, host:port

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """All of them, the first one first."""
        split = [other.rpartition(":") for other in self.others]
        return [(self.host, self.port), *((host, int(port)) for host, _, port in split)]


class MqttLink:
    """`publish` from any thread; `on_message`, `on_up`, `on_down` are called and must only enqueue.

    `will` gives (topic, payload) for each new connection: retained, published by the broker when
    this node vanishes.
    """

    def __init__(
        self,
        broker: Broker,
        subscriptions: list[str],
        *,
        on_message: Callable[[Message], None],
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
        will: Callable[[], tuple[str, bytes]] | None = None,
    ) -> None:
        self.broker = broker
        self.up = False
        self.fault = ""
        self.denied = False  # the broker answers, but not to this account
        self.protocol = MQTTProtocolVersion.MQTTv5
        self._subscriptions = subscriptions
        self._on_message = on_message
        self._on_up = on_up
        self._on_down = on_down
        self._will = will
        self._client: mqtt.Client | None = None
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._lost: list[float] = []
        self._attempts = 0
        self._undecided = False

    def start(self) -> None:
        """Connect in the background, for ever."""
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Say good-bye and end the thread."""
        self._stopping.set()
        self.renew()
        if self._thread:
            self._thread.join(timeout=CONNECT_TIMEOUT_S + 2)

    def renew(self) -> None:
        """Give this connection up and make a new one (a half-open link looks alive)."""
        self._ended.set()

    def follow(self, topics: list[str]) -> None:
        """Subscribe to these too, now and at every later connection."""
        self._subscriptions = [*self._subscriptions, *topics]
        client = self._client
        if client is not None and self.up and topics:
            client.subscribe([(topic, 1) for topic in topics])

    def unfollow(self, topics: list[str]) -> None:
        """Hear no more of these."""
        self._subscriptions = [t for t in self._subscriptions if t not in topics]
        client = self._client
        if client is not None and self.up and topics:
            client.unsubscribe(topics)

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> bool:
        """Hand over to the connection; False means "not sent", and nothing was queued anywhere."""
        client = self._client
        if client is None or not self.up:
            return False
        return (
            client.publish(topic, payload, qos=qos, retain=retain).rc
            == MQTTErrorCode.MQTT_ERR_SUCCESS
        )

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            was_up = self._live_once()
            failures = 0 if was_up else failures + 1
            ceiling = min(BACKOFF_S_MAX, BACKOFF_S_MIN * 2 ** min(failures, 8))
            self._stopping.wait(random.uniform(BACKOFF_S_MIN / 2, ceiling))  # noqa: S311 - jitter

    def _live_once(self) -> bool:
        """One client from connect to its end; True when it was connected at all."""
        self._ended.clear()
        connected = False
        client = None
        addresses = self.broker.addresses  # each connection at the next one: this one ended
        host, port = addresses[self._attempts % len(addresses)]
        try:
            client = self._fresh_client()
            client.connect(host, port, keepalive=KEEPALIVE_S)
            self._client = client
            client.loop_start()  # paho's thread alone writes to the socket
            connected = self._watch(client)
        except Exception as fault:  # noqa: BLE001 - a will may need a database that is away
            self.fault = f"{type(fault).__name__}: {fault}"[:300]
        finally:
            self._client = None
            if client is not None:
                with contextlib.suppress(OSError, ValueError):
                    client.disconnect()
                client.loop_stop()
        if self.up:
            self.up = False
            self._on_down(self.fault or "connection lost")
        if connected or not self._undecided:
            self._attempts += 1
        self._undecided = False
        return connected

    def _watch(self, client: mqtt.Client) -> bool:
        """Until the connection ends; a broker that never answers CONNECT counts as ended."""
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while not self._ended.wait(0.2) and not self._stopping.is_set():
            if not self.up and time.monotonic() > deadline:
                self.fault = "the broker took the connection but does not answer"
                self._use_other_protocol()
                break
        return self.up or client.is_connected()

    def _use_other_protocol(self) -> None:
        self._undecided = True  # the same address again, in its language
        five = self.protocol == MQTTProtocolVersion.MQTTv5
        self.protocol = MQTTProtocolVersion.MQTTv311 if five else MQTTProtocolVersion.MQTTv5

    def _fresh_client(self) -> mqtt.Client:
        five = self.protocol == MQTTProtocolVersion.MQTTv5
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.broker.client_id,
            clean_session=None if five else True,
            protocol=self.protocol,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(1000)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_message = self._received
        client.on_socket_open = _no_delay
        if self.broker.username:
            client.username_pw_set(self.broker.username, self.broker.password)
        if self.broker.tls is not None:
            client.tls_set_context(self.broker.tls())
        if self._will is not None:
            properties = None
            if five:
                properties = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
                properties.WillDelayInterval = 30
            client.will_set(*self._will(), qos=1, retain=True, properties=properties)
        return client

    def _connected(
        self, client: mqtt.Client, _data: object, _flags: object, code: object, *_: object
    ) -> None:
        name = str(code)
        if name != "Success":
            self.fault = name
            self.denied = "authorized" in name.lower() or "password" in name.lower()
            if "protocol version" in name.lower():
                self._use_other_protocol()
            self._ended.set()
            return
        if self._subscriptions:
            client.subscribe([(topic, 1) for topic in self._subscriptions])
        self.up, self.fault, self.denied = True, "", False
        self._on_up()

    def _disconnected(
        self, _client: mqtt.Client, _data: object, _flags: object, code: object, *_: object
    ) -> None:
        self.fault = str(code)
        if self.broker.tls and not self.up:  # after the handshake: it does not like our certificate
            self.denied = True
        self._ended.set()
        if self.up:
            now = time.monotonic()
            self._lost = [t for t in self._lost if now - t < 60] + [now]

    def _received(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        # One byte too many is enough to be refused; the rest must not lie in memory.
        payload = bytes(message.payload[: MESSAGE_BYTES_MAX + 1])
        self._on_message(Message(message.topic, payload))

    @property
    def cloned(self) -> bool:
        """Thrown out again and again: another node uses our name."""
        now = time.monotonic()
        return sum(now - t < 60 for t in self._lost) > TAKEOVERS_A_MINUTE_MAX


def _no_delay(_client: mqtt.Client, _data: object, opened: object) -> None:
    """Paho never sets TCP_NODELAY (measured: 30 kB over TLS 44 ms -> 0.5 ms)."""
    if isinstance(opened, socket.socket):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
