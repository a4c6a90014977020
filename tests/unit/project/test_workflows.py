"""The workflows: their scripts are shell, CI runs each Python, and a release is tested before it is published."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml", reason="workflows are read with PyYAML")

CHECKOUT = Path(__file__).parents[3]
WORKFLOWS = CHECKOUT / ".github" / "workflows"
README = CHECKOUT / "README.md"

pytestmark = pytest.mark.skipif(not WORKFLOWS.is_dir(), reason="workflows are tested from a checkout")


def jobs(name: str) -> dict[str, Any]:
    return yaml.safe_load((WORKFLOWS / name).read_text(encoding="utf-8"))["jobs"]


@pytest.mark.parametrize("name", ["ci.yml", "release.yml"])
def test_scripts_are_shell_and_no_input_is_pasted_into_them(name: str) -> None:
    scripts = [step["run"] for job in jobs(name).values() for step in job["steps"] if "run" in step]
    assert scripts
    for script in scripts:
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert "${{" not in script


@pytest.mark.parametrize(("name", "job"), [("ci.yml", "check"), ("release.yml", "test")])
def test_every_supported_python_is_run(name: str, job: str) -> None:
    fits = re.search(r"\((\d+, \d+)\) <= sys.version_info < \((\d+, \d+)\)", (CHECKOUT / "Makefile").read_text())
    assert fits
    least, beyond = (int(text.split(", ")[1]) for text in fits.groups())
    assert jobs(name)[job]["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(least, beyond)]
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == f">=3.{least}"


def test_nothing_is_published_that_was_not_tested() -> None:
    release = jobs("release.yml")
    order = ["build", "runner", "test", "attest", "publish", "site"]
    assert list(release) == order
    assert [release[name].get("needs") for name in order] == [None, *order[:-1]]
    trusted = [name for name in order if "id-token" in release[name].get("permissions", {})]
    assert trusted == ["attest", "publish", "site"]
    assert release["publish"]["environment"] == "pypi"


def test_a_release_is_refused_while_it_is_not_ready(tmp_path: Path) -> None:
    [script] = [step["run"] for step in jobs("release.yml")["build"]["steps"] if step.get("name", "").startswith("Ref")]

    def refused(changes: str, project: str) -> str:
        (tmp_path / "CHANGELOG.md").write_text(changes)
        (tmp_path / "pyproject.toml").write_text(project)
        return run(script, tmp_path).stdout

    assert "no section [1.2.3]" in refused("## [Unreleased]\n", "name")
    assert "OWNER still stands" in refused("## [1.2.3] - 2030-01-01\n", "https://github.com/OWNER/x")
    assert refused("## [1.2.3] - 2030-01-01\n", "name") == ""
    assert run(script, tmp_path).returncode == 0


def test_the_readme_of_a_release_stands_alone(tmp_path: Path) -> None:
    [script] = [
        step["run"] for step in jobs("release.yml")["build"]["steps"] if step.get("name", "").startswith("Make")
    ]
    (tmp_path / "README.md").write_text(README.read_text(encoding="utf-8"), encoding="utf-8")
    assert run(script, tmp_path).returncode == 0
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    links = ["".join(found) for found in re.findall(r"\]\(([^)]+)\)|(?:src|srcset)=\"([^\"]+)\"", page)]
    assert len(links) > 20
    assert all(link.startswith("https://") for link in links)
    assert "https://github.com/a/b/raw/v1.2.3/docs/images/deploy.svg" in links
    assert "https://github.com/a/b/blob/v1.2.3/docs/deploy.md" in links


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A step of the workflow for the tag v1.2.3 of a/b, as GitHub starts it."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "GITHUB_REF_NAME": "v1.2.3",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "a/b",
    }
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
