"""Bring the uv that uv.lock names into .tools/bin, with nothing but Python's standard library.

pip is asked first, since it knows a company's mirror; where Python came without venv or pip, the wheel is fetched
from the address in uv.lock. Either way its SHA-256 must be the one in uv.lock.
"""

from __future__ import annotations

import hashlib
import io
import platform
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import urllib.request
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / ".tools" / "bin" / "uv"


def locked() -> tuple[str, list[dict[str, str]]]:
    """The version of uv and its wheels (url, hash) in uv.lock."""
    packages = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    uv = next(package for package in packages if package["name"] == "uv")
    return uv["version"], uv["wheels"]


def by_pip(version: str, hashes: list[str]) -> bytes | None:
    """The program out of the wheel that pip chose and whose hash is locked; None where there is no pip."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "uv.txt"
        wanted.write_text(f"uv=={version} " + " ".join(f"--hash={one}" for one in hashes) + "\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command = [*pip, "--dest", folder, "--require-hashes", "-r", str(wanted)]
        done = subprocess.run(command, check=False, timeout=600, capture_output=True)
        wheels = list(Path(folder).glob("uv-*.whl"))
        return program(wheels[0].read_bytes()) if done.returncode == 0 and wheels else None


def by_address(wheels: list[dict[str, str]]) -> bytes:
    """The program out of the wheel for this machine, fetched from the address in the lock."""
    machine = platform.machine().lower().replace("amd64", "x86_64").replace("arm64", "aarch64")
    libc = "musl" if "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "") else "manylinux"
    system = "macosx" if sys.platform == "darwin" else libc
    arch = machine if sys.platform != "darwin" else machine.replace("aarch64", "arm64")
    for wheel in wheels:
        name = wheel["url"].rpartition("/")[2]
        if system in name and arch in name:
            with urllib.request.urlopen(wheel["url"], timeout=300) as answer:  # noqa: S310 - https, from the lock
                content: bytes = answer.read()
            if "sha256:" + hashlib.sha256(content).hexdigest() != wheel["hash"]:
                sys.exit(f"{name}: its SHA-256 is not the one in uv.lock; nothing was installed")
            return program(content)
    sys.exit(f"uv.lock has no uv for {sys.platform} {machine}; install uv by hand: https://docs.astral.sh/uv/")


def program(wheel: bytes) -> bytes:
    """The uv executable inside a wheel."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/scripts/uv"))
        return archive.read(name)


def main() -> None:
    """Install uv unless it is there already."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this file runs on whatever python3 is
        sys.exit(f"Python {platform.python_version()} is too old: hasivu-perf needs Python 3.11 or newer")
    version, wheels = locked()
    content = by_pip(version, [wheel["hash"] for wheel in wheels]) or by_address(wheels)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    temporary = TARGET.with_suffix(".tmp")
    temporary.write_bytes(content)
    temporary.chmod(0o755)
    temporary.replace(TARGET)


if __name__ == "__main__":
    main()
