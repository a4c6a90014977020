"""Quantized forms as files: equal to the bit when read back, loadable by stock torch, and refused when damaged."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from dvfl_mobile.errors import CheckpointError
from dvfl_mobile.model.checkpoint.opened import CheckpointFile
from dvfl_mobile.quantization import archive
from dvfl_mobile.quantization.graph import graphs, stored
from dvfl_mobile.quantization.settings import Quantization
from tests.quantized import drawn, small_form

pytestmark = pytest.mark.usefixtures("remembered_exports")


@pytest.fixture
def written(written_form: Path) -> Path:
    return written_form


def is_form(path: Path) -> bool:
    with CheckpointFile(path) as file:
        return archive.is_form(file)


def settings_of(path: Path) -> Quantization:
    with CheckpointFile(path) as file:
        return stored.read_settings(file)


def changed(source: Path, target: Path, change: Any) -> Path:
    """A copy of an archive with `change(name, data)` in place of each entry; None leaves it out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            data = change(entry.filename, old.read(entry))
            if data is not None:
                new.writestr(entry.filename, data)
    return target


def test_a_form_comes_back_equal_to_the_bit(written: Path) -> None:
    form, again = small_form(), stored.load_form(written)
    assert again.settings == form.settings
    assert again.student.classes == form.student.classes
    for before, after in zip(
        (form.integers, form.weight_scales, form.floats),
        (again.integers, again.weight_scales, again.floats),
        strict=True,
    ):
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_stock_torch_computes_the_same_from_it(written: Path) -> None:
    program = torch.export.load(written).module()
    expected = graphs.run_clips(graphs.converted(small_form().graph(), fold=True), drawn()[:1])
    with torch.no_grad():
        assert torch.equal(program(torch.from_numpy(drawn()[0]).float()), expected)


def test_it_is_recognised_among_other_files_by_its_content(written: Path, tmp_path: Path) -> None:
    assert is_form(written)
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pt2")
    assert not is_form(tmp_path / "other.pt2")
    (tmp_path / "text.pt2").write_text("no archive")
    assert not is_form(tmp_path / "text.pt2")
    assert not is_form(tmp_path / "nothing.pt2")


def test_a_form_of_schema_version_1_is_read(written: Path, tmp_path: Path) -> None:
    """It called the per-token scaled layers `levels`."""
    paths = ["stage0.block0.modulation.proj"]

    def as_version_1(name: str, data: bytes) -> bytes:
        if not name.endswith("dvfl_mobile.json"):
            return data
        contents = json.loads(data)
        assert contents["settings"].pop("schema_version") == 2
        contents["settings"].pop("per_token_scaled")
        contents["settings"] |= {"schema_version": 1, "levels": paths}
        return json.dumps(contents).encode()

    settings = settings_of(changed(written, tmp_path / "old.pt2", as_version_1))
    assert settings == small_form().settings.model_copy(update={"per_token_scaled": tuple(paths)})
    assert settings.schema_version == 2


def test_version_2_has_no_field_of_version_1(written: Path, tmp_path: Path) -> None:
    def mixed(name: str, data: bytes) -> bytes:
        return data.replace(b'"per_token_scaled"', b'"levels"') if name.endswith("dvfl_mobile.json") else data

    with pytest.raises(CheckpointError, match="levels"):
        settings_of(changed(written, tmp_path / "mixed.pt2", mixed))


def test_its_program_is_never_read(written: Path, tmp_path: Path) -> None:
    def without_program(name: str, data: bytes) -> bytes | None:
        return b"broken" if "/models/" in name or "/data/" in name else data

    assert stored.load_form(changed(written, tmp_path / "f.pt2", without_program)).settings == small_form().settings


@pytest.mark.parametrize("entry", ["student.safetensors", "weights.safetensors"])
def test_a_changed_entry_is_refused(written: Path, tmp_path: Path, entry: str) -> None:
    def flip(name: str, data: bytes) -> bytes:
        return data[:-1] + bytes([data[-1] ^ 1]) if name.endswith(entry) else data

    with pytest.raises(CheckpointError, match=entry):
        stored.load_form(changed(written, tmp_path / "f.pt2", flip))


def test_a_missing_entry_is_refused(written: Path, tmp_path: Path) -> None:
    path = changed(
        written, tmp_path / "f.pt2", lambda name, data: None if name.endswith("weights.safetensors") else data
    )
    with pytest.raises(CheckpointError, match="damaged"):
        stored.load_form(path)


def test_a_form_for_weights_that_shrank_no_tokens_is_refused(written: Path, tmp_path: Path) -> None:
    def older(name: str, data: bytes) -> bytes:
        return data.replace(b'"schema_version": 2', b'"schema_version": 1') if name.endswith(".json") else data

    with pytest.raises(CheckpointError, match=r"can't be understood \(schema_version") as caught:
        stored.load_form(changed(written, tmp_path / "f.pt2", older))
    assert "quantize again" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    ["{}", "no JSON", '{"schema_version": 9}', "[" * 100_000],
    ids=["empty", "no JSON", "newer", "deep"],
)
def test_settings_that_cannot_be_understood_are_refused(written: Path, tmp_path: Path, text: str) -> None:
    path = changed(
        written, tmp_path / "f.pt2", lambda name, data: text.encode() if name.endswith("dvfl_mobile.json") else data
    )
    with pytest.raises(CheckpointError, match="can't be understood"):
        stored.load_form(path)


def test_a_cut_file_is_refused(written: Path, tmp_path: Path) -> None:
    path = tmp_path / "f.pt2"
    path.write_bytes(written.read_bytes()[:-5000])
    with pytest.raises(CheckpointError):
        stored.load_form(path)


def test_a_compressed_entry_is_refused_before_it_is_unpacked(written: Path, tmp_path: Path) -> None:
    path = tmp_path / "f.pt2"
    with zipfile.ZipFile(written) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    with pytest.raises(CheckpointError, match="stored as it was written"):
        stored.load_form(path)


def test_settings_go_through_json_and_come_back() -> None:
    settings = small_form().settings
    assert Quantization.model_validate_json(settings.model_dump_json()) == settings
