"""What a browser says of itself, what it needs here, and what is said where that is missing."""

from __future__ import annotations

import io
import os
import signal
import ssl
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from dvfl_mobile.devices import base
from dvfl_mobile.devices.values import FoundDevice
from dvfl_mobile.devices.web import browser, certificate, device, invitation, library, place
from dvfl_mobile.devices.web.address import Address, address_of
from dvfl_mobile.devices.web.hello import Hello, facts_of
from dvfl_mobile.errors import DeviceError, MissingDriverError, UsageError
from dvfl_mobile.profiling.fleet import ready_devices
from tests.leading_adb import use_leading_adb
from tests.web_pages import HELLO, Page, served

AGENTS = {
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36": (
        "Chrome 156",
        "Linux",
    ),
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/144.0.0.0 Mobile Safari/537.36": (
        "Chrome 144",
        "Android 10",
    ),
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 "
    "Mobile/15E148 Safari/604.1": ("Safari 26.1", "iOS 18.5"),
    "Mozilla/5.0 (Android 14; Mobile; rv:141.0) Gecko/141.0 Firefox/141.0": ("Firefox 141", "Android 14"),
    "something else": ("a browser", "Linux"),
}


def hello(**changes: Any) -> Hello:
    return Hello.model_validate({**HELLO, **changes})


def adapter(**changes: Any) -> dict[str, Any]:
    about = {"vendor": "qualcomm", "architecture": "adreno-7xx", "description": "", "fallback": False, "half": True}
    return {**about, **changes}


@pytest.mark.parametrize("agent", AGENTS)
def test_a_browser_is_named(agent: str) -> None:
    facts = facts_of(hello(agent=agent), "web", None)
    assert (facts.model, facts.system) == AGENTS[agent]
    assert (facts.kind, facts.abi, len(facts.cores)) == ("physical", "wasm32", 8)
    assert facts.memory_bytes == 8 * 2**30
    assert facts.computes_in is None


def test_a_gpu_counts_as_what_it_is() -> None:
    phone = facts_of(hello(adapter=adapter()), "web:webgpu", "fp16")
    assert (phone.kind, phone.computes_in, phone.model) == (
        "physical",
        "float16",
        "adreno-7xx (qualcomm) in Chrome 156",
    )
    assert facts_of(hello(adapter=adapter()), "web:webgpu-fp32", "fp32").computes_in is None
    for played in (adapter(architecture="swiftshader", vendor="google"), adapter(fallback=True)):
        assert facts_of(hello(adapter=played), "web:webgpu", "fp16").kind == "emulated"


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("127.0.0.1", Address("127.0.0.1")),
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("localhost:80", Address("127.0.0.1", 80)),
        ("192.168.1.5", Address("192.168.1.5")),
        ("[::1]:8443", Address("::1", 8443)),
        ("fd00::1", Address("fd00::1")),
        ("android:127.0.0.1:5555", Address("127.0.0.1", phone="127.0.0.1:5555")),
    ],
)
def test_an_address_is_read(text: str, known: Address) -> None:
    if text.startswith("localhost"):
        assert address_of(text).is_loopback
    else:
        assert address_of(text) == known


@pytest.mark.parametrize("text", ["", ":80", "0.0.0.0", "::", "1.2.3.4.5", "127.0.0.1:99999", "no such name"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no address"):
        address_of(text)


def test_a_name_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(device, "Web", lambda engine, address: asked.append((engine, address)))
    for argument in ("", "webgpu", "webgpu-fp32", "@127.0.0.1", "webgpu@127.0.0.1:80"):
        device.find(argument)
    here = Address("127.0.0.1")
    assert asked == [
        ("", None),
        ("webgpu", None),
        ("webgpu-fp32", None),
        ("", here),
        ("webgpu", Address(here.host, 80)),
    ]
    with pytest.raises(UsageError, match="no device 'web:webnn'"):
        base.find_device("web:webnn")
    assert device.at_address("web:webgpu", "127.0.0.1") == "web:webgpu@127.0.0.1"
    assert device.at_address("web", "127.0.0.1") == "web:@127.0.0.1"
    with pytest.raises(UsageError, match="gpu is none"):
        device.at_address("gpu", "127.0.0.1")


def test_without_a_browser_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(browser.BROWSER_VARIABLE, raising=False)
    monkeypatch.setattr(browser.shutil, "which", lambda _: None)
    with pytest.raises(MissingDriverError, match="no Chromium here") as caught:
        base.find_device("web")
    assert (caught.value.exit_code, "apt install chromium" in caught.value.hint) == (4, True)
    assert device.found() == ()
    monkeypatch.setenv(browser.BROWSER_VARIABLE, "/nowhere/chromium")
    with pytest.raises(MissingDriverError, match="no such program"):
        base.find_device("web")
    [listed] = device.found()
    assert not listed.is_ready


def test_a_phone_on_a_cable_is_led_to_the_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    led = use_leading_adb(tmp_path, monkeypatch)
    monkeypatch.setattr(place, "page_files", dict)

    def nobody(*_: object) -> None:
        assert led.exists()
        raise DeviceError("nobody came")

    monkeypatch.setattr(place.Session, "hello", nobody)
    with pytest.raises(DeviceError, match="nobody came"):
        base.find_device("web:@android:ABC")
    assert "Open this page on android:ABC" in capsys.readouterr().err
    assert not led.exists()
    with pytest.raises(DeviceError, match="There is no android:XYZ"):
        base.find_device("web:@android:XYZ")


def test_a_browser_that_ends_at_once_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\necho no display >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv(browser.BROWSER_VARIABLE, str(program))
    monkeypatch.setattr(place, "page_files", dict)
    with pytest.raises(DeviceError, match="chromium ended with 3, after: no display"):
        base.find_device("web")


def test_a_browser_ends_with_a_tool_that_is_killed(tmp_path: Path) -> None:
    program, about = tmp_path / "chromium", tmp_path / "pid"
    program.write_text(f"#!/bin/sh\necho $$ >{about}.part\nmv {about}.part {about}\nexec sleep 60\n")
    program.chmod(0o755)
    code = (
        "import os, signal, time\nfrom pathlib import Path\nfrom dvfl_mobile.devices.web.browser import Browser\n"
        f"browser = Browser({str(program)!r}, 'http://127.0.0.1:1/', webgpu=False, software=False)\n"
        f"while not Path({str(about)!r}).exists():\n    time.sleep(0.02)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-P", "-c", code], env=environment, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    number = int(about.read_text())
    until = time.monotonic() + 10
    while _runs(number) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _runs(number)


def _runs(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    # One that nobody has waited for yet is gone all the same.
    return "\nState:\tZ" not in Path(f"/proc/{number}/status").read_text() if sys.platform == "linux" else True


def test_without_the_registry_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DVFL_MOBILE_CACHE", str(tmp_path))
    monkeypatch.delenv(library.LITERTJS_VARIABLE, raising=False)
    monkeypatch.setenv(library.REGISTRY_VARIABLE, "http://127.0.0.1:1/")
    with pytest.raises(MissingDriverError, match="doesn't give it") as caught:
        library.library_folder()
    assert caught.value.exit_code == 4
    assert "npm pack @litertjs/core@2.5.3 @litertjs/wasm-utils@2.5.3" in caught.value.hint
    monkeypatch.setenv(library.LITERTJS_VARIABLE, str(tmp_path))
    with pytest.raises(MissingDriverError, match=r"there is no litertjs-core-2\.5\.3\.tgz"):
        library.library_folder()


def test_other_bytes_are_not_taken_for_litertjs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DVFL_MOBILE_CACHE", str(tmp_path))
    monkeypatch.setenv(library.LITERTJS_VARIABLE, str(tmp_path))
    with tarfile.open(tmp_path / "litertjs-core-2.5.3.tgz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("package/dist/index.js"), io.BytesIO())
    with pytest.raises(MissingDriverError, match="holds other bytes"):
        library.library_folder()
    assert not list((tmp_path / "web").glob("litertjs*"))


def test_a_browser_is_only_among_the_devices_that_are_named() -> None:
    host = FoundDevice(device="host", kind="physical", model="", status="ready")
    here = FoundDevice(device="web", kind="physical", model="", status="ready")
    assert ready_devices([host, here]) == ["host"]


def test_a_phone_is_served_over_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    made = certificate.Certificate("127.0.0.1")
    shown = invitation.invitation("https://192.168.1.5:8443/secret/", 8443, made)
    assert "https://192.168.1.5:8443/secret/" in shown
    assert made.fingerprint in shown
    assert "█" in shown or "▀" in shown or not _has_segno()
    with served(tls=made.context) as (session, server):
        assert server.address.startswith("https://")
        page = Page(server.address, ssl._create_unverified_context())
        assert page.ask("nothing")[0] == 404
        attending = page.attend()
        assert session.hello(1, lambda: "").cores == 8
        attending.leave()
    monkeypatch.setattr(certificate.shutil, "which", lambda _: None)
    with pytest.raises(MissingDriverError, match="no openssl"):
        certificate.Certificate("127.0.0.1")


def test_this_machine_alone_needs_no_certificate() -> None:
    assert "adb reverse tcp:8080 tcp:8080" in invitation.invitation("http://127.0.0.1:8080/x/", 8080, None)


def test_a_place_that_cannot_be_listened_on_is_named() -> None:
    with served() as (session, server), pytest.raises(DeviceError, match="Nothing can be served at"):
        place.Server(session, {}, "127.0.0.1", server.port)


def _has_segno() -> bool:
    try:
        import segno  # noqa: F401
    except ImportError:
        return False
    return True
