"""What is installed from a wheel works from anywhere, and holds what it should and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import site
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from mindgap import __version__
from mindgap.backends.local.embedded import PACKAGE, VERSION

ROOT = Path(__file__).resolve().parents[1]
JUNK = {"__pycache__", ".mypy_cache", ".ruff_cache"}


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    # PYTHONPATH and the checkout must not help the installed package
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=240)


def files_under(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not JUNK & set(path.parts)
    }


def pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), "every line is one exact version"
    return {name.lower().replace("_", "-"): version for name, version in (line.split("==") for line in lines)}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel built from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    done = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bin` of a fresh environment with the wheel in it; the dependencies are those of the running one."""
    venv = tmp_path_factory.mktemp("other place") / "venv"
    assert run(sys.executable, "-m", "venv", "--without-pip", venv).returncode == 0
    python = venv / "bin" / "python"
    wheel = next(built.glob("*.whl"))
    pip = run(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps", wheel)
    assert pip.returncode == 0, pip.stderr
    packages = next((venv / "lib").glob("python*/site-packages"))
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    return python.parent


def test_the_wheel_holds_the_package_its_data_and_the_configuration(built: Path) -> None:
    names = zipfile.ZipFile(next(built.glob("*.whl"))).namelist()
    inside = {name.removeprefix("mindgap/") for name in names if name.startswith("mindgap/")}
    expected = files_under(ROOT / "mindgap") | {f"conf/{name}" for name in files_under(ROOT / "conf")}
    assert inside == expected
    assert {"py.typed", "conf/config.yaml", "conf/model/tiny.yaml"} <= inside
    others = {name.split("/")[0] for name in names if not name.startswith("mindgap/")}
    assert others == {f"mindgap-{__version__}.dist-info", "hydra_plugins"}
    assert f"mindgap-{__version__}.dist-info/licenses/LICENSE" in names


def test_the_sdist_holds_what_is_needed_to_build_and_test(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    top = {"LICENSE", "README.md", "CHANGELOG.md", "Makefile", "constraints.txt", "pyproject.toml", "conf/config.yaml"}
    assert top <= names
    assert "tests/test_packaging.py" in names
    assert not {name for name in names if name.startswith((".venv", "outputs", "wandb", ".git/"))}


def test_an_installed_wheel_finds_its_configuration_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    where = run(installed / "python", "-c", "import mindgap; print(mindgap.__file__)", cwd=tmp_path)
    assert Path(where.stdout.strip()).is_relative_to(installed.parent)
    for command in ([installed / "python", "-m", "mindgap"], [installed / "mindgap"]):
        done = run(*command, "--help", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "tiny" in done.stdout
    assert not list(tmp_path.iterdir()), "help writes nothing"


def test_an_installed_wheel_composes_a_configuration_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    done = run(installed / "mindgap", "model=tiny", "--cfg", "job", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "name: tiny" in done.stdout


def test_constraints_pin_every_dependency_and_the_embedded_model() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    pinned = pins()
    for line in [*project["dependencies"], *extras["local"], *extras["test"]]:
        wanted = Requirement(line)
        name = wanted.name.lower().replace("_", "-")
        assert name in pinned, f"constraints.txt says nothing of {name}"
        assert wanted.specifier.contains(pinned[name], prereleases=True), f"{line} excludes the pinned {pinned[name]}"
    assert pinned[PACKAGE] == VERSION


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_says_so_where_python_is_too_old(tmp_path: Path) -> None:
    done = run("make", "demo", "PYTHON=false", f"VENV={tmp_path}/venv")
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr
    assert not (tmp_path / "venv").exists()
