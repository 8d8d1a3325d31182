"""What is installed beside the worker: pinned, and under licences that let anybody use and ship it."""

import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import metadata, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"

# By SPDX's names. Those of the Mozilla licence (certifi, orjson) ask for the source of what one changes in their files.
ALLOWED = {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0"}
ALLOWED |= {"PSF-2.0", "Zlib"}
CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
SPELLINGS = {"3-Clause BSD License": "BSD-3-Clause"}


@cache
def dependencies() -> frozenset[str]:
    """All that `pip install clf-worker` brings on this machine, directly or not."""
    found, left = set[str](), ["clf-worker"]
    while left:
        name = left.pop()
        for line in requires(name) or []:
            requirement = Requirement(line)
            wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if wanted and (needed := canonicalize_name(requirement.name)) not in found:
                found.add(needed)
                left.append(needed)
    return frozenset(found)


def licences(name: str) -> Iterator[str]:
    """The licences a package names, wherever it does; with AND and OR alike."""
    told = metadata(name)
    classifiers = [line.rpartition(" :: ")[2] for line in told.get_all("Classifier", []) if line.startswith("License")]
    [text] = told.get_all("License-Expression") or [""]
    if not text and not classifiers:
        [text] = told.get_all("License") or [""]
    if not text:
        yield from (CLASSIFIERS.get(line, line) for line in classifiers)
    else:
        yield from re.split(r" AND | OR ", SPELLINGS.get(text, text).replace("(", "").replace(")", ""))


@pytest.mark.skipif(not CONSTRAINTS.exists(), reason="there are no constraints beside an installed package")
def test_every_dependency_is_pinned() -> None:
    """`make setup` gives everybody the same of each; `make audit` compares the versions."""
    lines = (line.partition("#")[0].strip() for line in CONSTRAINTS.read_text("utf-8").split("\n"))
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line}
    assert dependencies() - pinned == set()
    assert len(dependencies()) > 40


def test_every_licence_is_allowed() -> None:
    """A new dependency under another licence is looked at before it is added to the list."""
    named = {name: set(licences(name)) for name in dependencies()}
    assert {name: found for name, found in named.items() if not found or found - ALLOWED} == {}
