"""Checkpoints that are damaged, foreign or hostile: each is refused for what it is, and nothing in them runs."""

from __future__ import annotations

import io
import os
import pickle
import random
import re
import resource
import struct
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from dvfl_mobile.errors import CheckpointError
from dvfl_mobile.model.checkpoint.load import load_checkpoint
from tests.checkpoints import TWO_STAGES, config_of, save_official, small_weights


class Calls:
    """Pickles as a call of `function`: what an attacker writes."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "small.pth"


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that hostile pickles would make."""
    return tmp_path / "it-ran"


def _refusal(path: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as refused:
        load_checkpoint(path)
    assert str(path) in refused.value.problem
    assert refused.value.hint
    assert refused.value.exit_code == 3
    assert refused.value.problem.isprintable()
    return refused.value


def _rewrite(path: Path, pickled: bytes | None = None, extra: dict[str, bytes] | None = None) -> None:
    """Put another pickle, or more entries, into a zip that torch.save wrote."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**entries, **(extra or {})}.items():
            archive.writestr(name, pickled if pickled is not None and name.endswith("/data.pkl") else data)


# Nothing but damage


def test_missing(tmp_path: Path) -> None:
    assert "There is no checkpoint" in _refusal(tmp_path / "none.pth").problem


def test_folder(tmp_path: Path) -> None:
    assert "is a folder" in _refusal(tmp_path).problem


def test_empty(path: Path) -> None:
    path.touch()
    assert "is empty" in _refusal(path).problem


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable(path: Path) -> None:
    path.write_bytes(b"x")
    path.chmod(0)
    assert "Permission denied" in _refusal(path).problem


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0" + bytes(500),
        b"\x89PNG\r\n\x1a\n" + bytes(500),
        b"conv1 weights\nos system\nand so on\n",
        b"cos\nsystem\nof a text that begins like a pickle\n",
        b"<html><body>404 Not Found</body></html>",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 88630507\n",
        b"{}",
        b"\0" * 4096,
        b"\x80\x02",
        b".",
    ],
)
def test_not_a_checkpoint(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert "is not a checkpoint" in _refusal(path).problem


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("share", [0.001, 0.01, 0.3, 0.9, 0.999999])
def test_cut_short(path: Path, zipped: bool, share: float) -> None:
    save_official(path, config_of(), _use_new_zipfile_serialization=zipped)
    os.truncate(path, int(path.stat().st_size * share))
    assert re.search("damaged|cut short|not a checkpoint", _refusal(path).problem)


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.5, 0.999999])
def test_cut_short_safetensors(path: Path, share: float) -> None:
    save_file(small_weights(), path)
    os.truncate(path, max(9, int(path.stat().st_size * share)))
    assert "damaged safetensors" in _refusal(path).problem


def test_a_flipped_bit_in_the_weights_is_found(path: Path) -> None:
    torch.save(small_weights(), path)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 4]))
    assert "damaged" in _refusal(path).problem


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_mutations_end_in_a_refusal_or_in_a_student(path: Path, kind: str) -> None:
    if kind == "safetensors":
        save_file(small_weights(TWO_STAGES), path)
    else:
        zipped = kind == "zip"
        save_official(path, config_of(TWO_STAGES), TWO_STAGES, _use_new_zipfile_serialization=zipped)
    load_checkpoint(path)
    whole, chance = path.read_bytes(), random.Random(5)
    start, outcomes = time.monotonic(), {"refused": 0, "read": 0}
    for _ in range(120):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 3, 30))):
            # Half of the damage goes where names and shapes are, not numbers.
            data[chance.randrange(len(data) if chance.random() < 0.5 else 10_000)] = chance.randrange(256)
        path.write_bytes(data)
        try:
            load_checkpoint(path)
            outcomes["read"] += 1
        except CheckpointError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 40
    assert time.monotonic() - start < 120


# Other people's files


def test_another_network(path: Path) -> None:
    torch.save(
        {"conv1.weight": torch.zeros(64, 3, 7, 7), "bn1.weight": torch.zeros(64), "fc.weight": torch.zeros(9, 4)}, path
    )
    problem = _refusal(path).problem
    assert "not a Video-FocalNet's" in problem
    assert "conv1.weight, bn1.weight, fc.weight" in problem


def test_missing_surplus_and_misshapen_weights_are_named(path: Path) -> None:
    weights = small_weights()
    del weights["layers.1.blocks.0.modulation.f_temporal.bias"]
    weights["layers.0.blocks.0.extra.weight"] = torch.zeros(3)
    weights["norm.weight"] = torch.zeros(7)
    torch.save(weights, path)
    problem = _refusal(path).problem
    assert "1 missing: layers.1.blocks.0.modulation.f_temporal.bias;" in problem
    assert "1 not of this network: layers.0.blocks.0.extra.weight;" in problem
    assert "1 of a wrong shape: norm.weight is 7 where 128 belongs." in problem


def test_an_image_network_of_the_family_lists_ten_and_counts_the_rest(path: Path) -> None:
    torch.save({key: value for key, value in small_weights().items() if "temporal" not in key}, path)
    problem = _refusal(path).problem
    assert "30 missing: layers.0.blocks.0.modulation.f_temporal.weight, " in problem
    assert "and 20 more." in problem
    assert problem.count("temporal") == 10


def test_a_missing_stage_is_named(path: Path) -> None:
    torch.save({key: value for key, value in small_weights().items() if not key.startswith("layers.1.")}, path)
    assert "missing: layers.1." in _refusal(path).problem


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_named(path: Path, value: float) -> None:
    weights = small_weights()
    weights["layers.2.blocks.1.mlp.fc1.weight"][3, 5] = value
    torch.save(weights, path)
    assert "NaN or infinite: layers.2.blocks.1.mlp.fc1.weight." in _refusal(path).problem


def test_a_weight_too_large_for_float32_is_named(path: Path) -> None:
    weights = small_weights()
    weights["head.weight"] = weights["head.weight"].double() * 1e300
    torch.save(weights, path)
    assert "NaN or infinite: head.weight." in _refusal(path).problem


def test_weights_that_are_not_floating_point_are_named(path: Path) -> None:
    torch.save({**small_weights(), "head.weight": torch.zeros(5, 128, dtype=torch.int8)}, path)
    assert "not floating point: head.weight (int8)." in _refusal(path).problem


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([1, 2], "it holds a list"),
        (torch.zeros(3), "it holds a Tensor"),
        ({}, "it holds an empty dictionary"),
        ({"model": {}}, "it holds an empty dictionary"),
        ({"epoch": 3}, "entries that are no weights: epoch"),
        ({"a": torch.zeros(2), 7: torch.zeros(2)}, "entries that are no weights: 7"),
        ({"\x1b[2Jx": 3}, r"entries that are no weights: \x1b[2Jx"),
    ],
)
def test_no_weights_inside(path: Path, value: object, said: str) -> None:
    torch.save(value, path)
    assert said in _refusal(path).problem


def test_a_pickled_module_is_refused_by_name(path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), path)
    refused = _refusal(path)
    assert "torch.nn.modules.linear.Linear" in refused.problem
    assert "torch.save(model.state_dict()" in refused.hint


def test_a_torchscript_program(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("m/data.pkl", "m/constants.pkl", "m/code/x.py"):
            archive.writestr(name, b"\x80\x02}.")
    assert "TorchScript" in _refusal(path).problem


def test_a_zip_of_something_else(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("holiday.jpg", b"x")
    assert "not one that torch.save wrote" in _refusal(path).problem


def test_a_plain_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"a": 1}, protocol=2))
    assert "a pickle, but not one that torch.save wrote" in _refusal(path).problem


@pytest.mark.parametrize("frames", [0, -8, 10_000, "eight"])
def test_frames_that_can_not_be(path: Path, frames: object) -> None:
    save_official(path, config_of(NUM_FRAMES=frames))
    assert "can't be built: num_frames" in _refusal(path).problem


# Hostile ones


def _touch(marker: Path) -> dict[str, Calls]:
    code = f"open({str(marker)!r}, 'w')"
    return {
        "posix.system": Calls(os.system, f"touch {marker}"),
        "builtins.eval": Calls(eval, code),
        "builtins.exec": Calls(exec, code),
        "subprocess.Popen": Calls(subprocess.Popen, ["touch", str(marker)]),
        "builtins.getattr": Calls(getattr, "x", "upper"),
        "io.open": Calls(open, str(marker), "w"),
        "torch.hub.load": Calls(torch.hub.load, "x", "y"),
        "builtins.bytearray": Calls(bytearray, 10),
    }


@pytest.mark.parametrize("name", ["posix.system", "builtins.eval", "builtins.exec", "io.open"])
def test_the_hostile_calls_would_run_if_they_were_let(marker: Path, name: str) -> None:
    pickle.loads(pickle.dumps(_touch(marker)[name]))
    assert marker.exists()


@pytest.mark.parametrize("container", ["zip", "legacy", "pickle"])
@pytest.mark.parametrize("name", list(_touch(Path("x"))))
def test_a_call_is_refused_by_name_and_does_not_run(path: Path, marker: Path, name: str, container: str) -> None:
    hostile = _touch(marker)[name]
    if container == "pickle":
        path.write_bytes(pickle.dumps(hostile))
    else:
        torch.save(
            {"model": small_weights(), "extra": hostile}, path, _use_new_zipfile_serialization=container == "zip"
        )
    refused = _refusal(path)
    assert name in refused.problem
    assert "nothing in it was run" in refused.problem
    assert not marker.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_is_refused_by_name(path: Path, marker: Path, protocol: int) -> None:
    torch.save(small_weights(), path)
    pickled = pickle.dumps([{"a": (1, 2.5, None, True, b"x", {3})}, Calls(os.system, f"touch {marker}")], protocol)
    _rewrite(path, pickled)
    assert "posix.system" in _refusal(path).problem
    path.write_bytes(pickled)
    assert "posix.system" in _refusal(path).problem
    assert not marker.exists()


@pytest.mark.parametrize("protocol", [4, 5])
def test_weights_in_a_protocol_that_torch_does_not_take(path: Path, protocol: int) -> None:
    torch.save(small_weights(), path, pickle_protocol=protocol)
    assert "(pickle_protocol)" in _refusal(path).problem


def test_all_names_are_given_at_once(path: Path, marker: Path) -> None:
    torch.save({"a": _touch(marker)["posix.system"], "b": _touch(marker)["builtins.eval"]}, path)
    assert "posix.system, builtins.eval," in _refusal(path).problem


def test_a_call_inside_the_configuration(path: Path, marker: Path) -> None:
    save_official(path, {"DATA": {"NUM_FRAMES": Calls(os.system, f"touch {marker}")}})
    assert "posix.system" in _refusal(path).problem
    assert not marker.exists()


_SAY = b"X\x05\0\0\0touch"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        # Names put together on the stack, through the memo, from a bytes object, from a number.
        (b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94h\x00h\x01\x93" + _SAY + b"\x85R.", "posix.system"),
        (b"\x80\x04\x8c\x06system\x940\x8c\x05posixh\x00\x93" + _SAY + b"\x85R.", "posix.system"),
        (b"\x80\x04C\x05posixC\x06system\x93" + _SAY + b"\x85R.", "a name that is no text"),
        (b"\x80\x04K\x01K\x02\x93" + _SAY + b"\x85R.", "a name that is no text"),
        (b"\x80\x02(" + _SAY + b"iposix\nsystem\n.", "posix.system"),
        (b"\x80\x02(cposix\nsystem\n" + _SAY + b"o.", "posix.system"),
        (b"\x80\x02\x82\x07.", "copyreg extension.7"),
        # A name that is known, called otherwise than torch.save would.
        (b"\x80\x02ctorch\nFloatStorage\nJ\xff\xff\xff\x7f\x85R.", "calls torch.FloatStorage"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.", "calls torch._utils._rebuild_tensor_v2"),
        (b"\x80\x02ctorch\nSize\n(J\xff\xff\xff\x7fJ\xff\xff\xff\xfft\x85R.", "calls torch.Size"),
        (b"\x80\x02ccollections\nOrderedDict\n](K\x01K\x02\x86e\x85R.", "calls collections.OrderedDict"),
        # A dictionary's methods replaced by data, and attributes of things that have none.
        (b"\x80\x02cyacs.config\nCfgNode\n)\x81}X\x03\0\0\0getK\x01sb.", "sets the attribute get"),
        (b"\x80\x02]}X\x01\0\0\0aK\x01sb.", "sets the attributes"),
        (b"\x80\x02}(K\x01K\x02\x86K\x03u.", "a key that is neither text nor number"),
        (b"\x80\x02K\x01K\x02K\x03s.", "sets items of something"),
        # A storage from elsewhere.
        (b"\x80\x02X\x04\0\0\0evilQ.", "kept elsewhere"),
        (b"\x80\x02", "cut short after byte 0"),
        (b"\x80\x02h\x05.", "makes no sense"),
        (b"\x80\x02R.", "makes no sense"),
    ],
)
def test_pickle_programs(path: Path, program: bytes, said: str) -> None:
    torch.save(small_weights(), path)
    _rewrite(path, program)
    assert re.search(said, _refusal(path).problem)


def test_a_configuration_of_hostile_types_is_data(path: Path) -> None:
    loop: list[Any] = []
    loop.append(loop)
    bomb: Any = "lol"
    for _ in range(60):
        bomb = [bomb] * 10
    config = config_of(LABEL_LIST=bomb, ROOT=loop)
    config["AUG"]["FRAME_INTERVAL"] = [[7]]
    config["MODEL"]["FOCAL"]["USE_POSTLN"] = {"a": 1}
    save_official(path, config)
    student = load_checkpoint(path)
    assert student.clip.frame_interval == 4
    assert any(note.startswith("use_postln not in") for note in student.notes)


def test_a_configuration_that_is_no_dictionary_is_none(path: Path) -> None:
    torch.save({"model": small_weights(), "config": "nano"}, path)
    assert any(note.startswith("frames not in") for note in load_checkpoint(path, size=64).notes)


def test_a_dictionary_that_holds_itself(path: Path) -> None:
    loop: dict[str, Any] = {}
    loop["model"] = loop
    torch.save(loop, path)
    assert "no weights: model" in _refusal(path).problem


def test_deep_nesting(path: Path) -> None:
    torch.save(small_weights(), path)
    _rewrite(path, b"\x80\x02" + b"]" * 300_000 + b"a" * 299_999 + b".")
    assert "it holds a list" in _refusal(path).problem


def test_an_endless_pickle(path: Path) -> None:
    torch.save(small_weights(), path)
    _rewrite(path, b"\x80\x02" + b"]" * 2_000_000 + b".")
    assert "more than 1,000,000 instructions" in _refusal(path).problem


def test_a_zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}.")
        archive.writestr("a/data/0", bytes(200 * 2**20))
    assert "would unpack to 209,715,204" in _refusal(path).problem


def test_a_zip_that_shares_one_entry_many_times(path: Path) -> None:
    torch.save(small_weights(), path)
    data = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
        name = largest.filename.encode()
    end = data.rindex(b"PK\x05\x06")
    start, size = struct.unpack("<II", data[end + 16 : end + 20] + data[end + 12 : end + 16])
    directory = data[start : start + size]
    at = directory.index(name) - 46
    entry = directory[at : directory.index(b"PK\x01\x02", at + 4)]
    copies = b"".join(entry.replace(name, name[:-1] + bytes([letter])) for letter in range(65, 90))
    count = struct.unpack("<H", data[end + 10 : end + 12])[0] + 25
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, size + len(copies), start, 0)
    path.write_bytes(data[:start] + directory + copies + tail)
    assert "would unpack to" in _refusal(path).problem


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "small/../../evil", "other/evil"])
def test_a_zip_with_names_that_lead_elsewhere(path: Path, tmp_path: Path, name: str) -> None:
    torch.save(small_weights(), path)
    _rewrite(path, extra={name: b"x"})
    assert f"it holds {name}, as torch.save would not" in _refusal(path).problem
    assert not list(tmp_path.parent.rglob("evil"))


def test_compressed_entries(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}.")
        archive.writestr("a/data/0", os.urandom(64))
    assert "compressed" in _refusal(path).problem


def test_a_tensor_that_claims_more_than_is_there(path: Path) -> None:
    torch.save({"a": torch.zeros(7, 3)}, path)
    with zipfile.ZipFile(path) as archive:
        pickled = archive.read("small/data.pkl")
    _rewrite(path, pickled.replace(b"K\x07K\x03\x86", b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86"))
    assert "2147483647x2147483647, claims more than the 21 numbers" in _refusal(path).problem


def test_a_storage_that_claims_more_than_is_there(path: Path) -> None:
    torch.save({"a": torch.zeros(7, 3)}, path)
    with zipfile.ZipFile(path) as archive:
        pickled = archive.read("small/data.pkl")
    _rewrite(path, pickled.replace(b"K\x15tq", b"J\xff\xff\xff\x7ftq"))
    assert "claim 8,589,934,588 bytes where 84 are kept" in _refusal(path).problem


def test_a_tensor_spread_over_one_number(path: Path) -> None:
    torch.save({"a": torch.zeros(1).expand(2**20, 2**20)}, path)
    assert "its weights claim 4,398,046,511,104 bytes, but the file has" in _refusal(path).problem


def test_small_files_that_claim_much_stay_small_in_memory(path: Path, tmp_path: Path) -> None:
    """Each claims gigabytes; a process with 600 MB beyond what torch itself takes refuses them all."""
    zipped, legacy, spread, deep = (tmp_path / name for name in ("zip.pth", "legacy.pth", "spread.pth", "deep.pth"))
    torch.save({"a": torch.zeros(7, 3)}, path)
    with zipfile.ZipFile(path) as archive:
        huge = archive.read("small/data.pkl").replace(b"K\x07K\x03\x86", b"J\0\0\xff\x0fK\x03\x86")
    zipped.write_bytes(path.read_bytes())
    _rewrite(zipped, huge)
    torch.save({"a": torch.zeros(7, 3)}, legacy, _use_new_zipfile_serialization=False)
    legacy.write_bytes(legacy.read_bytes().replace(b"K\x15Nt", b"J\xff\xff\xff\x7fNt"))
    torch.save({key: torch.zeros(1).expand(50_000, 50_000) for key in small_weights()}, spread)
    deep.write_bytes(path.read_bytes())
    _rewrite(deep, b"\x80\x02" + b"}" * 999_000 + b".")
    program = f"""
        import resource
        from pathlib import Path
        from dvfl_mobile.errors import CheckpointError
        from dvfl_mobile.model.checkpoint.load import load_checkpoint
        import torch
        torch.set_num_threads(1)
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + 600 * 2**20,) * 2)
        for path in {[str(item) for item in (zipped, legacy, spread, deep)]!r}:
            try:
                load_checkpoint(Path(path))
            except CheckpointError as error:
                print(error.problem)
    """
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc to tell how much memory torch takes")
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    problems = done.stdout.splitlines()
    assert len(problems) == 4, done
    assert "claims more than the 21 numbers" in problems[0]
    assert "cut short" in problems[1]
    assert "its weights claim" in problems[2]
    assert "it holds" in problems[3]


def test_an_architecture_too_large_is_refused_before_it_is_built(path: Path) -> None:
    weights = small_weights()
    weights["layers.900.blocks.0.norm1.weight"] = torch.zeros(3)
    torch.save(weights, path)
    assert "can't be built: depths must be 1 to 8 stages" in _refusal(path).problem
    del weights["layers.900.blocks.0.norm1.weight"]
    weights["layers.7.blocks.255.norm1.weight"] = torch.zeros(3)
    torch.save(weights, path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "missing" in _refusal(path).problem
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000
