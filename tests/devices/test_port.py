"""The port on real ttys, sockets and files."""

import os
import socket
import threading
import time

import pytest

from devices.port import Cancel, DeviceLost, open_port


@pytest.fixture
def cancel():
    flag = Cancel()
    yield flag
    flag.close()


def _reason(url, cancel):
    with pytest.raises(DeviceLost) as caught:
        open_port(url, cancel)
    assert caught.value.sentence("zh-CN") != caught.value.code
    return caught.value.code


def test_tty_both_ways_and_exclusive(line, cancel):
    port = open_port(line.link + "?baud=115200", cancel)
    line.send(b"6901028075831\r")
    assert port.read(1.0) == b"6901028075831\r"
    port.write(b"\x05")
    assert os.read(line.master, 10) == b"\x05"
    assert _reason(line.link, cancel) == "DEVICE_BUSY"
    line.unplug()
    with pytest.raises(DeviceLost):
        port.read(1.0)
    port.close()
    port.close()


def test_socket_both_ways(listener, cancel):
    url = f"socket://127.0.0.1:{listener.getsockname()[1]}"
    port = open_port(url, cancel)
    peer, _ = listener.accept()
    with peer:
        port.write(b"abc")
        assert peer.recv(10) == b"abc"
        peer.sendall(b"\x12")
        assert port.read(1.0) == b"\x12"
        assert port.read(0.0) == b""
    with pytest.raises(DeviceLost) as caught:
        port.read(1.0)
    assert caught.value.code == "DEVICE_LOST"
    port.close()


def test_plain_file_takes_bytes_and_is_locked(tmp_path, cancel):
    path = tmp_path / "lp0"
    path.write_bytes(b"")
    port = open_port(f"file://{path}", cancel)
    port.write(b"hello")
    assert port.read(0.01) == b""
    assert _reason(f"file://{path}", cancel) == "DEVICE_BUSY"
    port.close()
    assert path.read_bytes() == b"hello"


def test_every_failure_to_open_has_its_code(tmp_path, listener, cancel):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = closed.getsockname()[1]
    assert _reason(f"socket://127.0.0.1:{dead}", cancel) == "DEVICE_REFUSED"
    assert _reason(f"{tmp_path}/none", cancel) == "DEVICE_MISSING"
    assert _reason(f"file://{tmp_path}/none", cancel) == "DEVICE_MISSING"
    assert _reason("socket://nohost", cancel) == "DEVICE_URL_WRONG"
    assert _reason(f"{tmp_path}/none?speed=3", cancel) == "DEVICE_URL_WRONG"


def test_stalled_reader_ends_the_write(listener, cancel, monkeypatch):
    monkeypatch.setattr("devices.port.SEND_S", 0.3)
    port = open_port(f"socket://127.0.0.1:{listener.getsockname()[1]}", cancel)
    peer, _ = listener.accept()
    started = time.monotonic()
    with peer, pytest.raises(DeviceLost) as caught:
        port.write(bytes(30_000_000))
    assert caught.value.code == "DEVICE_STALLED"
    assert time.monotonic() - started < 2
    port.close()


def test_cancel_interrupts_a_write(listener, cancel):
    port = open_port(f"socket://127.0.0.1:{listener.getsockname()[1]}", cancel)
    peer, _ = listener.accept()
    timer = threading.Timer(0.1, cancel.set)
    timer.start()
    started = time.monotonic()
    with peer, pytest.raises(DeviceLost) as caught:
        port.write(bytes(30_000_000))
    assert caught.value.code == "DEVICE_CLOSED"
    assert time.monotonic() - started < 1
    timer.join()
    port.close()
