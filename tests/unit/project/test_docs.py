"""The documentation says what the program does: its options, its commands, its names, and links that lead somewhere."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

import dvfl_mobile
from dvfl_mobile.cli import main as frame
from dvfl_mobile.data.clips import frame_indices, prepare

CHECKOUT = Path(__file__).parents[3]
DOCS = CHECKOUT / "docs"
README = CHECKOUT / "README.md"
PAGES = sorted([*CHECKOUT.glob("*.md"), *DOCS.glob("*.md")])
# A link of Markdown, or of the HTML that chooses between a light and a dark picture.
LINK = re.compile(r"""\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)\"""")
# What a page may name as a place of the repository.
PLACE = re.compile(
    r"(?<![\w./-])((?:android_harness|benchmarks|converters|docs|dvfl_mobile|ios_harness|quantization|tests|web_harness)/[\w./-]+\w)(?![\w./-]*\*)"
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.skipif(
    not DOCS.is_dir(), reason="docs are tested from a checkout, not from an installed wheel"
)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def rows(command: Any) -> Iterator[str]:
    """The rows that a command's table of options must have, as Markdown; of a group, those of all its commands."""
    for one in getattr(command, "commands", {}).values():
        yield from rows(one)
    for parameter in command.params:
        if parameter.name == "help":
            continue
        default = parameter.default
        is_shown = bool(getattr(parameter, "show_default", False)) and default not in (None, False)
        what = re.sub(r"\s+", " ", getattr(parameter, "help", ""))
        yield f"| `{spelling(parameter)}` | {what} | {f'`{default}`' if is_shown else ''} |"


def spelling(parameter: Any) -> str:
    """`-o, --out FOLDER` of an option, `CHECKPOINT` of an argument."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar)
    names = ", ".join(sorted(parameter.opts, key=len))
    return names if parameter.is_flag else f"{names} {parameter.metavar}"


@pytest.mark.parametrize("name", frame.COMMANDS)
def test_every_command_has_a_page_whose_options_are_those_of_its_help(name):
    section = re.search(r"^## Options\n(.*?)(?=^## |\Z)", text_of(DOCS / f"{name}.md"), re.MULTILINE | re.DOTALL)
    assert section, f"docs/{name}.md has no section called Options"
    table = [line for line in section[1].splitlines() if line.startswith("| `")]
    command = typer.main.get_command(frame._app()).commands[name]
    assert table == list(rows(command)), "the table should be:\n" + "\n".join(rows(command))


def test_the_readme_links_a_page_for_every_command():
    linked = set(re.findall(r"\]\(docs/(\w[\w-]*)\.md\)", text_of(README)))
    assert set(frame.COMMANDS) <= linked
    for name in frame.COMMANDS:
        assert re.search(rf"^\|.*`{name}\b", text_of(README), re.MULTILINE), f"the README's table lacks {name}"


def test_the_readme_is_one_screen():
    assert len(text_of(README).split()) <= 700


def test_the_index_links_every_page():
    linked = set(re.findall(r"\]\(([\w-]+)\.md\)", text_of(DOCS / "index.md")))
    assert {page.stem for page in DOCS.glob("*.md")} - {"index"} <= linked


def test_the_site_has_every_page():
    listed = set(re.findall(r"^ +- .*?([\w-]+)\.md$", (CHECKOUT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert {page.stem for page in DOCS.glob("*.md")} <= listed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", text_of(page)))
    for target in map("".join, LINK.findall(prose)):
        if re.match(r"[a-z]+://", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path) if path else page
        assert found.exists(), f"{page.name} links {target}"
        # On the site, a picture's anchor says for which colours it is.
        if found.suffix == ".md":
            assert not anchor or anchor in anchors(found), f"{page.name} links {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page):
    prose = re.sub(r"\]\([^)]*\)", "", text_of(page))
    missing = [place for place in PLACE.findall(prose) if not (CHECKOUT / place).exists() and place.islower()]
    assert not missing, f"{page.name} names {missing}"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("picture", ["life", "recipes", "peers"])
def test_a_light_and_a_dark_picture_differ_in_their_colours_alone(picture):
    light, dark = (text_of(DOCS / "images" / f"{picture}-{look}.svg") for look in ("light", "dark"))
    assert light != dark
    # matplotlib names a mark by a hash of its look.
    colour = re.compile(r"#[0-9a-f]{6}\b|\bm[0-9a-f]{10}\b")
    assert colour.sub("", light) == colour.sub("", dark)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_in_the_docs_names_what_there_is(page):
    for language, code in FENCE.findall(text_of(page)):
        if language == "python":
            check_names(code)


def check_names(code: str) -> None:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module == "dvfl_mobile":
            assert {alias.name for alias in node.names} <= set(dvfl_mobile.__all__)
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("dvfl_mobile."):
            # A name that is public is imported as such; a page that needs another says so.
            for alias in node.names:
                assert is_there(str(node.module), alias.name), ast.unparse(node)
                assert alias.name not in dvfl_mobile.__all__
            assert "# private: may change" in code.splitlines()[node.lineno - 1]
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "dvfl_mobile":
            assert node.attr in dvfl_mobile.__all__


def is_there(module: str, name: str) -> bool:
    """Whether a module defines a name, by its source, or is a package with such a module in it."""
    spec = importlib.util.find_spec(module)
    assert spec, f"there is no {module}"
    assert spec.origin
    defined = rf"^(?:def|class) {name}\b|^{name}\b.*? = "
    source = Path(spec.origin).read_text(encoding="utf-8")
    inside = any((Path(folder) / f"{name}.py").exists() for folder in spec.submodule_search_locations or ())
    return inside or bool(re.search(defined, source, re.MULTILINE))


def test_every_exit_code_has_a_row():
    shown = re.findall(r"^\| (\d+) \|", text_of(DOCS / "command-line.md"), re.MULTILINE)
    assert shown == re.findall(r"(?<!\w)(\d+) ", frame.EXIT_CODES)


def test_the_video_page_tells_frames_and_pixels_as_they_are():
    page = text_of(DOCS / "video.md")
    spec = dvfl_mobile.ClipSpec.official()
    rows = re.findall(r"^\| (\d+) \| ([\d, ]+) \|$", page, re.MULTILINE)
    assert len(rows) == 4
    for total, indices in rows:
        assert frame_indices(int(total), spec).tolist() == [int(index) for index in indices.split(", ")]

    y, x, c = np.indices((240, 320, 3))
    pixels = prepare(((3 * x + 5 * y + 7 * c + x * y) % 256).astype(np.uint8)[None], spec)[0]
    assert hashlib.sha256(pixels.tobytes()).hexdigest() in page
    assert f"the sum {pixels.astype(int).sum():,}" in page
    for column, row, colour in re.findall(r"^\| (\d+), (\d+) \| (\d+, \d+, \d+) \|$", page, re.MULTILINE):
        assert ", ".join(map(str, pixels[:, int(row), int(column)])) == colour


def test_the_code_on_the_video_page_gives_the_same_pixels():
    [code] = [code for language, code in FENCE.findall(text_of(DOCS / "video.md")) if language == "python"]
    names: dict[str, Any] = {}
    exec(code, names)
    picture = np.random.RandomState(0).randint(0, 256, (20, 31, 3)).astype(np.uint8)
    pixels = prepare(picture[None], dvfl_mobile.ClipSpec(size=32, short_side=36))[0]
    width, height, rows = 56, 36, picture.tolist()
    for channel, y, x in np.ndindex(pixels.shape):
        pixel = names["resized_pixel"](rows, x + (width - 32) // 2, y + (height - 32) // 2, channel, width, height)
        assert pixel == pixels[channel, y, x]
