"""ExecuTorch's table of operators, read fast: importing it reads that, and coremltools imports it too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock


@contextmanager
def read_fast() -> Iterator[None]:
    """Within the block, safe YAML is read by PyYAML, which ExecuTorch needs anyway, and not by ruamel's parser, which
    is written in Python and takes a second and more.
    """
    try:
        import yaml
        from ruamel.yaml import YAML
    except ImportError:
        yield
        return
    load, loader = YAML.load, getattr(yaml, "CSafeLoader", None)

    def load_fast(reader: Any, stream: Any) -> Any:
        if loader is None or reader.typ != ["safe"]:
            return load(reader, stream)
        return yaml.load(stream, Loader=loader)

    with mock.patch.object(YAML, "load", load_fast):
        yield
