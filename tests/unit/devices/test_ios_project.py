"""The Xcode project, written by hand: whole, and of one piece with the package, the app's name and the folders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from dvfl_mobile.devices.ios import device as ios

HARNESS = Path(__file__).parents[3] / "ios_harness"
PROJECT = HARNESS / "App" / "Harness.xcodeproj"

pytestmark = pytest.mark.skipif(not HARNESS.is_dir(), reason="the harness is tested from a checkout")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return parsed((PROJECT / "project.pbxproj").read_text(encoding="utf-8"))


def parsed(text: str) -> dict[str, Any]:
    """A property list of the old kind: `{key = value; }`, `(value, )`, and words, quoted or not."""
    tokens = iter(re.findall(r'"(?:\\.|[^"\\])*"|[{}()=;,]|[\w./]+', re.sub(r"^//.*\n", "", text)))
    value = value_of(next(tokens), tokens)
    assert next(tokens, None) is None
    return value


def value_of(token: str, tokens: Iterator[str]) -> Any:
    if token == "{":
        found: dict[str, Any] = {}
        while (token := next(tokens)) != "}":
            assert next(tokens) == "="
            key = word(token)
            assert key not in found
            found[key] = value_of(next(tokens), tokens)
            assert next(tokens) == ";"
        return found
    if token == "(":
        values = []
        while (token := next(tokens)) != ")":
            values.append(value_of(token, tokens))
            assert next(tokens) == ","
        return values
    return word(token)


def word(token: str) -> str:
    assert token not in "{}()=;,"
    return token[1:-1].replace('\\"', '"') if token.startswith('"') else token


def of_kind(project: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {name: entry for name, entry in project["objects"].items() if entry["isa"] == kind}


def words_in(value: Any) -> Iterator[str]:
    """Every text below a value, the keys of dictionaries among them."""
    if isinstance(value, str):
        yield value
    for part in value.items() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from words_in(list(part) if isinstance(part, tuple) else part)


def test_every_object_that_is_named_is_there_and_every_object_is_named(project: dict[str, Any]) -> None:
    named = {
        text
        for entry in [*project["objects"].values(), project["rootObject"]]
        for text in words_in(entry)
        if re.fullmatch(r"[0-9A-F]{24}", text)
    }
    assert named == set(project["objects"])
    assert project["objects"][project["rootObject"]]["isa"] == "PBXProject"


def test_its_folders_are_those_of_the_app(project: dict[str, Any]) -> None:
    folders = {entry["path"] for entry in of_kind(project, "PBXFileSystemSynchronizedRootGroup").values()}
    assert folders == {"Harness", "HarnessPerformanceTests"}
    assert folders == {path.name for path in PROJECT.parent.iterdir() if path.is_dir() and path != PROJECT}
    assert all(list((PROJECT.parent / folder).glob("*.swift")) for folder in folders)


def test_the_package_has_what_the_targets_take(project: dict[str, Any]) -> None:
    package = (HARNESS / "Package.swift").read_text(encoding="utf-8")
    [place] = of_kind(project, "XCLocalSwiftPackageReference").values()
    assert (PROJECT.parent / place["relativePath"]).resolve() == HARNESS.resolve()
    products = set(re.findall(r'\.library\(name: "(\w+)"', package))
    for target in of_kind(project, "PBXNativeTarget").values():
        taken = {project["objects"][name]["productName"] for name in target["packageProductDependencies"]}
        sources = "".join(path.read_text("utf-8") for path in (PROJECT.parent / target["name"]).glob("*.swift"))
        assert taken == set(re.findall(r"^import (HarnessCore|CoreMLRunner)$", sources, re.MULTILINE)) == products
        phases = [project["objects"][name] for name in target["buildPhases"]]
        [frameworks] = [phase for phase in phases if phase["isa"] == "PBXFrameworksBuildPhase"]
        linked = [project["objects"][name]["productRef"] for name in frameworks["files"]]
        assert linked == target["packageProductDependencies"]
        assert {phase["isa"] for phase in phases} > {"PBXSourcesBuildPhase", "PBXResourcesBuildPhase"}


def test_the_app_has_the_name_that_the_driver_asks_for(project: dict[str, Any]) -> None:
    settings = [entry["buildSettings"] for entry in of_kind(project, "XCBuildConfiguration").values()]
    names = {entry["PRODUCT_BUNDLE_IDENTIFIER"] for entry in settings if "PRODUCT_BUNDLE_IDENTIFIER" in entry}
    assert names == {ios.BUNDLE, f"{ios.BUNDLE}.performance"}
    package = (HARNESS / "Package.swift").read_text(encoding="utf-8")
    oldest = {entry["IPHONEOS_DEPLOYMENT_TARGET"] for entry in settings if "IPHONEOS_DEPLOYMENT_TARGET" in entry}
    assert oldest == {f"{version}.0" for version in re.findall(r"\.iOS\(\.v(\d+)\)", package)}
    lists = [entry["buildConfigurations"] for entry in of_kind(project, "XCConfigurationList").values()]
    assert all([project["objects"][name]["name"] for name in each] == ["Debug", "Release"] for each in lists)


def test_the_scheme_builds_and_tests_the_targets_that_there_are(project: dict[str, Any]) -> None:
    scheme = ElementTree.parse(PROJECT / "xcshareddata" / "xcschemes" / "Harness.xcscheme").getroot()
    targets = of_kind(project, "PBXNativeTarget")
    references = list(scheme.iter("BuildableReference"))
    assert {reference.get("BlueprintIdentifier") for reference in references} == set(targets)
    for reference in references:
        target = targets[str(reference.get("BlueprintIdentifier"))]
        product = project["objects"][target["productReference"]]["path"]
        assert (reference.get("BlueprintName"), reference.get("BuildableName")) == (target["name"], product)
    [tested] = scheme.find("TestAction").iter("BuildableReference")
    assert tested.get("BlueprintName") == "HarnessPerformanceTests"


def test_what_is_timed_is_optimized() -> None:
    scheme = ElementTree.parse(PROJECT / "xcshareddata" / "xcschemes" / "Harness.xcscheme").getroot()
    for action in ("TestAction", "LaunchAction", "ProfileAction", "ArchiveAction"):
        assert scheme.find(action).get("buildConfiguration") == "Release"


def test_the_stand_in_for_core_ml_is_in_no_product() -> None:
    assert "Stubs" not in (HARNESS / "Package.swift").read_text(encoding="utf-8")
    assert "Stubs" not in (PROJECT / "project.pbxproj").read_text(encoding="utf-8")
