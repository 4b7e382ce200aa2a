"""The owner thread: commands, events, back-off, a quick stop."""

import socket
import time

import pytest

from devices.device import UP, Data, Device, DeviceState, Status, resolve
from devices.port import DeviceLost


class Echo:
    """The smallest driver: what comes is data, a command is written."""

    tick_s = 0.2

    def __init__(self):
        self.owner = self.port = None

    def opened(self, owner, port):
        self.owner, self.port = owner, port
        owner.become(UP)

    def received(self, data):
        self.owner.emit(Data(self.owner.name, data.decode("ascii"), time.monotonic()))

    def perform(self, command, future):
        if command == "bug":
            raise ZeroDivisionError
        self.port.write(command)
        resolve(future, len(command))

    def tick(self):
        pass

    def closed(self, reason):
        self.port = None


@pytest.fixture
def device(line, events):
    owner = Device("echo", line.link, driver=Echo(), on_event=events.put)
    yield owner
    owner.stop()


def test_commands_in_events_out(device, line, events):
    device.start()
    status = events.get(timeout=60)
    assert isinstance(status, Status)
    assert (status.old.state, status.new.state) == (DeviceState.DOWN, DeviceState.UP)
    assert device.submit(b"abc").result(timeout=60) == 3
    line.send(b"hello")
    assert events.get(timeout=60).value == "hello"


def test_lost_and_back(device, line, events):
    device.start()
    assert events.get(timeout=60).new.state is DeviceState.UP
    line.unplug()
    assert events.get(timeout=60).new.state is DeviceState.DOWN
    with pytest.raises(DeviceLost):
        device.submit(b"x").result(timeout=60)
    line.plug()
    while events.get(timeout=60).new.state is not DeviceState.UP:
        pass


def test_a_bug_in_a_driver_does_not_end_the_thread(device, events):
    device.start()
    assert events.get(timeout=60).new.state is DeviceState.UP
    device.submit("bug")
    assert events.get(timeout=60).new.code == "DEVICE_LOST"
    assert events.get(timeout=60).new.state is DeviceState.UP


def test_submit_never_blocks_and_stop_is_quick(events):
    hole = socket.create_server(("127.0.0.1", 0), backlog=0)
    fillers = []
    for _ in range(3):  # fill the accept queue, so that a connect hangs
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(hole.getsockname())
        fillers.append(filler)
    device = Device(
        "far", f"socket://127.0.0.1:{hole.getsockname()[1]}", driver=Echo(), on_event=events.put
    )
    device.start()
    futures = [device.submit(b"x") for _ in range(300)]
    device.stop()  # the connect would take two seconds
    assert all(f.exception(timeout=60) is not None for f in futures)
    for filler in [*fillers, hole]:
        filler.close()


def test_stop_before_start_and_twice(line, events):
    device = Device("echo", line.link, driver=Echo(), on_event=events.put)
    device.stop()
    device.stop()
    device.start()
    assert device.submit(b"x").exception(timeout=0).code == "DEVICE_CLOSED"
