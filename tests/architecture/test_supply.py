"""What the product is built from: locked by hash, from one public index, under licences that permit its use."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
LOCK = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
PERMISSIVE = re.compile(
    r"\b(MIT|MIT-0|BSD|0BSD|Apache|ISC|ISCL|PSF|Python Software Foundation|Zlib|CC0|CNRI-Python|PostgreSQL)\b",
    re.IGNORECASE,
)
EXCEPTIONS = {
    "psycopg": "LGPL: used as a library, unchanged",
    "psycopg-binary": "LGPL: likewise",
    "psycopg-pool": "LGPL: likewise",
    "certifi": "MPL 2.0: used unchanged",
    "bidict": "MPL 2.0: used unchanged",
    "pathspec": "MPL 2.0: used unchanged",
    "text-unidecode": "Artistic License, by choice among its three",
}
"""Licences that ask for something back: why each may be used."""


def needed(name: str, extras: frozenset[str], seen: set[str]) -> Iterator[str]:
    """A distribution and all that it needs at run time on this machine."""
    if name in seen:
        return
    seen.add(name)
    yield name
    for line in metadata.requires(name) or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in (extras or {""})):
            yield from needed(_canonical(requirement.name), frozenset(requirement.extras), seen)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def licence(name: str) -> str:
    """What a distribution says of its licence: the expression, the classifiers, or its own words."""
    told = metadata.metadata(name)
    classifiers = [one for one in told.get_all("Classifier") or () if one.startswith("License ::")]
    words = {name: told[name] for name in ("License-Expression", "License") if name in told}
    return words.get("License-Expression") or "; ".join(classifiers) or words.get("License", "")[:200]


def test_what_is_used_at_run_time_is_permissively_licensed() -> None:
    names = set(needed("hasivu-perf", frozenset({"dask"}), set())) - {"hasivu-perf"}
    assert len(names) > 50
    odd = {name: licence(name) for name in names if not PERMISSIVE.search(licence(name))}
    assert {name: text for name, text in odd.items() if name not in EXCEPTIONS} == {}
    copyleft = {name for name in names if re.search(r"\b[AL]?GPL", licence(name))}
    assert copyleft <= EXCEPTIONS.keys()


@pytest.mark.parametrize("package", [one for one in LOCK if "registry" in one["source"]], ids=lambda one: one["name"])
def test_every_file_of_the_lock_has_its_hash_and_comes_from_the_public_index(package: dict[str, object]) -> None:
    assert package["source"] == {"registry": "https://pypi.org/simple"}
    files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]  # type: ignore[misc]
    assert files
    for one in files:
        assert one["hash"].startswith("sha256:")
        assert one["url"].startswith("https://files.pythonhosted.org/")


def test_the_lock_holds_nothing_that_is_not_from_the_index() -> None:
    others = [one["name"] for one in LOCK if "registry" not in one["source"]]
    assert others == ["hasivu-perf"]
