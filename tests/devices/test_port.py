"""The port on real ttys, sockets and files."""

import os
import socket
import subprocess
import sys
import threading

import pytest

from devices.port import Cancel, DeviceLost, open_port, wait


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
    monkeypatch.setattr("devices.lines.SEND_S", 0.3)
    port = open_port(f"socket://127.0.0.1:{listener.getsockname()[1]}", cancel)
    peer, _ = listener.accept()
    with peer, pytest.raises(DeviceLost) as caught:
        port.write(bytes(30_000_000))
    assert caught.value.code == "DEVICE_STALLED"
    port.close()


def test_cancel_interrupts_a_write(listener, cancel):
    port = open_port(f"socket://127.0.0.1:{listener.getsockname()[1]}", cancel)
    peer, _ = listener.accept()
    timer = threading.Timer(0.1, cancel.set)
    timer.start()
    with peer, pytest.raises(DeviceLost) as caught:
        port.write(bytes(30_000_000))
    assert caught.value.code == "DEVICE_CLOSED"
    timer.join()
    port.close()


def test_one_program_of_this_machine_per_network_printer(listener, cancel):
    url = f"socket://127.0.0.1:{listener.getsockname()[1]}"
    port = open_port(url, cancel)
    assert _reason(url, cancel) == "DEVICE_BUSY"
    code = (
        "import sys; from devices.port import *\n"
        "try: open_port(sys.argv[1], Cancel())\n"
        "except DeviceLost as lost: print(lost.code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, url], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "DEVICE_BUSY"
    port.close()
    open_port(url, cancel).close()


def test_a_printer_that_another_machine_holds_hangs_up(listener, cancel):
    port = open_port(f"socket://127.0.0.1:{listener.getsockname()[1]}", cancel)
    listener.accept()[0].close()
    with pytest.raises(DeviceLost) as caught:
        port.read(5.0)
    assert caught.value.code == "DEVICE_TAKEN"
    port.close()


def test_a_name_that_nobody_knows(cancel):
    assert _reason("socket://printer.invalid:9100", cancel) == "DEVICE_NAME_UNKNOWN"


def test_a_resolver_that_hangs_is_asked_once_and_left_alone(cancel, monkeypatch):
    asked, go = [], threading.Event()
    real = socket.getaddrinfo

    def slow(host, port, **more):
        if host != "slow.example" or more.get("flags"):
            return real(host, port, **more)
        asked.append(host)
        go.wait(30)
        raise socket.gaierror("gave up")

    monkeypatch.setattr("devices.port.CONNECT_S", 0.05)
    monkeypatch.setattr("socket.getaddrinfo", slow)
    for _ in range(3):
        assert _reason("socket://slow.example:9100", cancel) == "DEVICE_NAME_UNKNOWN"
    assert asked == ["slow.example"]
    go.set()


def test_the_printer_class_is_known_by_its_path(tmp_path, cancel):
    link = tmp_path / "receipts"
    link.symlink_to("/dev/usb/lp77")  # as a udev rule makes it; no such printer here
    for path in (str(link), "/dev/usb/lp77", "file:///dev/usb/lp77"):
        assert _reason(path, cancel) == "DEVICE_MISSING"


def test_unsent_says_what_a_peer_did_not_take(listener, cancel):
    port = open_port(f"socket://127.0.0.1:{listener.getsockname()[1]}", cancel)
    peer, _ = listener.accept()
    assert port.unsent() == 0
    with peer:
        taken = 0
        while wait([], [port], timeout_s=0.2):
            taken += port._send(memoryview(bytes(65536)))
        assert 0 < port.unsent() <= taken
    port.close()
