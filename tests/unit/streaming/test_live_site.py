"""The live page as files: what is exported, what is served and to whom, and what is refused."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.devices.web.address import Address, address_of
from dvfl_mobile.devices.web.server import _HEADERS
from dvfl_mobile.errors import ArtifactError, InconclusiveError, OutputError, UsageError
from dvfl_mobile.streaming import site
from dvfl_mobile.streaming.policy import Policy
from dvfl_mobile.streaming.serving import served
from dvfl_mobile.streaming.site import LivePage, export_site, live_folder
from tests.leading_adb import use_leading_adb
from tests.web_pages import Page

pytestmark = pytest.mark.usefixtures("library")


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In LiteRT.js's place, a file of each kind."""
    folder = tmp_path / "litertjs"
    folder.mkdir()
    for name in ("core.js", "litert_wasm_internal.js", "litert_wasm_internal.wasm"):
        (folder / name).write_bytes(name.encode())
    monkeypatch.setattr(site, "library_folder", lambda _: folder)
    return folder


@pytest.fixture
def artifact(small_pack: SimpleNamespace) -> Artifact:
    found: Artifact = small_pack.artifact
    return found


def changed(artifact: Artifact, **changes: Any) -> Artifact:
    return Artifact(artifact.folder, artifact.manifest.model_copy(update=changes))


def test_an_export_is_whole(artifact: Artifact, tmp_path: Path) -> None:
    out = tmp_path / "site"
    made = export_site(artifact, out, Policy(every=5))
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.iterdir()}
    assert (made.files, made.folder) == (found, out)
    assert made.size_bytes == sum(path.stat().st_size for path in out.iterdir())
    about = LivePage.model_validate_json((out / "live.json").read_bytes())
    assert (about.policy.every, about.clip, about.classes) == (5, artifact.manifest.clip, artifact.manifest.classes)
    assert found[about.file] == about.sha256 == artifact.manifest.files[0].sha256
    assert about.levels == (tuple(map(float, range(256))),) * 3
    assert about.offline


def test_every_file_that_another_names_is_there(artifact: Artifact, tmp_path: Path) -> None:
    made = export_site(artifact, tmp_path / "site", Policy())
    readable = [name for name in made.files if not name.endswith((".png", ".tflite"))]
    text = {name: (made.folder / name).read_text("utf-8") for name in readable}
    page = text["index.html"]
    named = set(re.findall(r'(?:href|src)="([^"]+)"', page))
    named |= {name for source in text.values() for name in re.findall(r'from "\./([\w.-]+)"', source)}
    named |= set(re.findall(r'(?:Worker|register|fetch)\("([\w.-]+)"\)', "".join(text.values())))
    installing = json.loads(text["manifest.webmanifest"])
    named |= {icon["src"] for icon in installing["icons"]}
    assert {"live.js", "worker.js", "service-worker.js", "live.json", "policy.js"} <= named
    assert named <= set(made.files)
    assert (installing["start_url"], installing["scope"]) == (".", ".")


def test_the_service_worker_knows_each_file_by_its_hash(artifact: Artifact, tmp_path: Path) -> None:
    made = export_site(artifact, tmp_path / "site", Policy())
    worker = (made.folder / "service-worker.js").read_text("utf-8")
    kept = json.loads(re.search(r"const FILES = (\{.*?\});", worker, re.DOTALL)[1])  # type: ignore[index]
    left_out = {"service-worker.js", "README.md", "LICENSE"}
    assert kept == {name: sha256 for name, sha256 in made.files.items() if name not in left_out}
    assert "@" not in worker
    again = export_site(artifact, tmp_path / "again", Policy())
    assert again.files == made.files
    other = export_site(artifact, tmp_path / "other", Policy(every=1))
    assert other.files["service-worker.js"] != made.files["service-worker.js"]


def test_the_page_may_load_and_send_nothing_elsewhere() -> None:
    """The page's own policy, its service worker's, and the server's are one, but for what a page can't say itself."""
    page, worker = ((live_folder() / name).read_text("utf-8") for name in ("index.html", "service-worker.js"))
    own = re.search(r'Security-Policy" content="([^"]+)"', page)
    given = re.search(r'"Content-Security-Policy": "([^"]+)"', worker)
    assert own is not None
    assert given is not None
    assert given[1] == f"{own[1]}; frame-ancestors 'none'"
    assert set(given[1].split("; ")) == set(_HEADERS["Content-Security-Policy"].replace(" data:", "").split("; "))
    sources = set(own[1].replace(";", " ").split())
    assert not any("*" in each or "http" in each or each == "'unsafe-inline'" for each in sources)


def test_no_file_names_another_host() -> None:
    for path in live_folder().iterdir():
        if path.suffix in (".js", ".html", ".css"):
            assert re.findall(r"\w+://[^\s\"'`)]+", path.read_text("utf-8")) == [], path.name


def test_the_readme_tells_what_was_exported(artifact: Artifact, tmp_path: Path) -> None:
    made = export_site(artifact, tmp_path / "site", Policy())
    text = (made.folder / "README.md").read_text("utf-8")
    assert re.findall(r"@[A-Z0-9]+@", text) == []
    assert artifact.manifest.files[0].sha256 in text
    assert "Nothing leaves the device" in text


def test_what_int8_is_given_is_exactly_its_own(artifact: Artifact) -> None:
    [taken] = artifact.manifest.inputs
    whole = taken.model_copy(update={"dtype": "int8", "scale": 0.98, "zero_point": -128})
    about = site._description(changed(artifact, inputs=(whole,)).manifest, b"TFL3", Policy(), offline=True)
    given = np.asarray(about.levels[0], np.float32)
    steps = np.rint(given / np.float32(0.98))
    np.testing.assert_array_equal(steps.astype(np.float32) * np.float32(0.98), given)
    np.testing.assert_array_equal(steps, np.rint(np.arange(256, dtype=np.float32) / np.float32(0.98)).clip(0, 255))


def test_an_export_replaces_an_earlier_one_and_nothing_else(artifact: Artifact, tmp_path: Path) -> None:
    out = tmp_path / "site"
    export_site(artifact, out, Policy())
    (out / "left.txt").write_text("over")
    export_site(artifact, out, Policy(every=2))
    assert not (out / "left.txt").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years")
    with pytest.raises(OutputError, match="holds something else"):
        export_site(artifact, mine, Policy())
    assert (mine / "thesis.tex").read_text() == "years"
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a file stands where a folder goes"):
        export_site(artifact, tmp_path / "file", Policy())


def test_what_no_page_runs_is_refused(artifact: Artifact, tmp_path: Path) -> None:
    out = tmp_path / "site"
    with pytest.raises(InconclusiveError, match="No page runs an artifact for executorch"):
        export_site(changed(artifact, target="executorch"), out, Policy())
    clip = artifact.manifest.clip
    narrow = changed(artifact, clip=clip.model_copy(update={"short_side": clip.size - 1}))
    with pytest.raises(UsageError, match="can't be cut"):
        export_site(narrow, out, Policy())
    copy = tmp_path / "damaged"
    copy.mkdir()
    for path in artifact.folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / artifact.manifest.file).write_bytes(b"TFL3")
    with pytest.raises(ArtifactError):
        export_site(Artifact(copy, artifact.manifest), out, Policy())
    assert not out.exists()


def test_only_the_page_is_served_and_only_below_the_secret(artifact: Artifact) -> None:
    with served(artifact, Policy(), Address("127.0.0.1")) as page:
        assert page.address in page.invitation
        asking = Page(page.address)
        status, data = asking.ask("live.json")
        about = LivePage.model_validate_json(data)
        assert (status, about.offline) == (200, False)
        model = asking.ask(about.file)[1]
        assert hashlib.sha256(model).hexdigest() == about.sha256
        for name in ("", "worker.js", "icon-192.png", "manifest.webmanifest", "policy.js"):
            assert asking.ask(name)[0] == 200, name
        for name in ("../live.json", "attend", "job/a/model", "nothing.js", "%2e%2e/etc/passwd"):
            assert asking.ask(name)[0] == 404, name
        assert asking.ask("attend", b"{}")[0] == 404
        assert asking.ask("", headers={"Host": "elsewhere.example"})[0] == 404
        stranger = Page(re.sub(r"/[\w-]+/$", "/guessed/", page.address))
        assert stranger.ask("live.json")[0] == 404
        address = page.address
    with pytest.raises(OSError, match=r"refused"):
        Page(address).ask("")


def test_a_phone_is_served_over_tls(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Address, "is_loopback", property(lambda _: False))
    with served(artifact, Policy(), Address("127.0.0.1")) as page:
        assert page.address.startswith("https://")
        assert page.fingerprint is not None
        assert page.fingerprint in page.invitation


def test_a_phone_on_a_cable_is_led_here(artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    led = use_leading_adb(tmp_path, monkeypatch)
    with served(artifact, Policy(), address_of("android:ABC")) as page:
        port = page.address.split("/")[2].split(":")[1]
        assert led.read_text() == f"tcp:{port} tcp:{port}\n"
        assert "Open this page on android:ABC" in page.invitation
        assert f"Its port {port} leads here" in page.invitation
    assert not led.exists()


def test_the_command_exports(artifact: Artifact, run_command: Any, tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text(Policy(every=3).model_dump_json())
    out = tmp_path / "site"
    code, printed, _ = run_command("live", artifact.folder, "--export", out, "--policy", policy, "--json")
    assert (code, json.loads(printed)["path"]) == (0, str(out))
    assert json.loads((out / "live.json").read_text())["policy"]["every"] == 3
    code, printed, _ = run_command("live", artifact.folder, "--export", out)
    assert (code, "for any static host" in printed) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["--export", "{tmp}/site", "--address", "127.0.0.1"], 2, "is for a page that is served"),
        (["--export", "{tmp}/site", "--phone", "ABC"], 2, "is for a page that is served"),
        (["--address", "192.168.1.5", "--phone", "ABC"], 2, "names another"),
        (["--address", "nowhere.invalid"], 2, "no address of this machine"),
        (["--address", "0.0.0.0"], 2, "no address of this machine"),
        (["--policy", "{tmp}/missing.json"], 3, "can't be read"),
        (["--policy", "{tmp}/damaged.json"], 3, "is no policy"),
    ],
)
def test_bad_input_ends_with_its_own_code(
    artifact: Artifact, run_command: Any, tmp_path: Path, arguments: list[str], code: int, problem: str
) -> None:
    (tmp_path / "damaged.json").write_text('{"every": 0}')
    given = [each.replace("{tmp}", str(tmp_path)) for each in arguments]
    ended, _, said = run_command("live", artifact.folder, *given)
    assert (ended, problem in said) == (code, True), said


def test_ctrl_c_is_its_usual_end(artifact: Artifact, library: Path) -> None:
    script = (
        "import sys, pathlib; from dvfl_mobile.streaming import site; from dvfl_mobile.cli.main import main\n"
        f"site.library_folder = lambda _: pathlib.Path({str(library)!r})\n"
        f"main(['live', {str(artifact.folder)!r}, '--json'])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell has what it starts in the background, as these tests may be, ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    text = b""
    while b"}" not in text:
        text += process.stdout.readline()
    about = json.loads(text)
    assert Page(about["address"]).ask("live.json")[0] == 200
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
