"""What is kept as JSON is one kind of document."""

from __future__ import annotations

import ast

from dvfl_mobile.documents import Document
from tests.sources import modules


def test_a_document_is_frozen_closed_and_valid_json() -> None:
    assert Document.model_config == {"frozen": True, "extra": "forbid", "ser_json_inf_nan": "strings"}


def test_there_is_one_base_class() -> None:
    """A class that sets itself up by hand may forget one of the three; what others write is read leniently."""
    own = [
        f"{name}: {node.name}"
        for name, path in modules().items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and any("BaseModel" in ast.unparse(base) for base in node.bases)
        if "extra='ignore'" not in ast.unparse(node)
    ]
    assert own == ["documents: Document"]
