"""Scenario files: which functions of which files make the load, looked at by their owner, run in the worker alone."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from deployments.scenarios import Entry, parse_entries
from storage.errors import ConfigurationError, NotMeasuredError
from tasks.load.scenario.feeder import Feeder

ON_START = "on_start"
"""The function of a scenario file that each user runs once before its first journey, such as a login."""
DATA = "data"
"""The feeder of a scenario file that gives each journey its row."""


@dataclass(frozen=True)
class Scenario:
    """A journey that users make: its function, how often it is chosen, and what its file says besides."""

    name: str
    weight: float
    run: Callable[[Any], Awaitable[None]]
    on_start: Callable[[Any], Awaitable[None]] | None
    data: Feeder | None


def looked_at(text: str, folder: Path | None = None) -> list[Entry]:
    """The entries of `FILE:NAME[=WEIGHT][,…]` with absolute paths, each looked at without running its file.

    A relative path begins at `folder`, else at the current one. `ConfigurationError` holds every problem.
    """
    try:
        entries = parse_entries(text)
    except ValueError as error:
        raise ConfigurationError([str(error)]) from None
    whole = [Entry(str((folder or Path()).joinpath(one.file).resolve()), one.name, one.weight) for one in entries]
    problems = [problem for one in whole for problem in _problems(one)]
    if problems:
        raise ConfigurationError(list(dict.fromkeys(problems)))
    return whole


def _problems(entry: Entry) -> list[str]:
    path = Path(entry.file)
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except OSError as error:
        return [f"the scenario file {path} cannot be read: {error.strerror}; name an existing file"]
    except (SyntaxError, ValueError) as error:
        line = f" line {error.lineno}" if isinstance(error, SyntaxError) else ""
        return [f"the scenario file {path} is not valid Python{line}: {getattr(error, 'msg', error)}"]
    functions = {one.name: one for one in tree.body if isinstance(one, ast.AsyncFunctionDef | ast.FunctionDef)}
    problems = []
    if ON_START in functions:
        problems += _signature(path, functions[ON_START])
    if entry.name not in functions:
        known = ", ".join(name for name, one in functions.items() if isinstance(one, ast.AsyncFunctionDef)) or "none"
        return [*problems, f"{path} has no function {entry.name!r}: its async functions are {known}"]
    return [*problems, *_signature(path, functions[entry.name])]


def _signature(path: Path, function: ast.AsyncFunctionDef | ast.FunctionDef) -> list[str]:
    given = function.args
    needed = len(given.posonlyargs) + len(given.args) - len(given.defaults)
    takes_one = needed == 1 or (needed == 0 and (given.args or given.posonlyargs or given.vararg))
    needs_more = any(default is None for default in given.kw_defaults)
    if isinstance(function, ast.AsyncFunctionDef) and takes_one and not needs_more:
        return []
    wanted = f"async def {function.name}(user: User) -> None"
    return [f"{path.name} line {function.lineno}: {function.name} must be declared as `{wanted}`"]


def load(entries: Sequence[Mapping[str, Any]], number: int = 0, of: int = 1) -> list[Scenario]:
    """Run the files and take their functions; feeders draw as share `number` of `of`. In the worker alone.

    Relative paths in a file begin at its own folder. `NotMeasuredError` says in which line a file fails.
    """
    modules: dict[str, ModuleType] = {}
    scenarios = []
    for entry in entries:
        file = str(entry["file"])
        module = modules.get(file) or modules.setdefault(file, _run(file))
        for one in vars(module).values():
            if isinstance(one, Feeder):
                one.share(number, of)
        scenarios.append(_scenario(module, entry))
    return scenarios


def _run(file: str) -> ModuleType:
    path = Path(file)
    spec = importlib.util.spec_from_file_location(f"scenario_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise NotMeasuredError(f"the scenario file {file} cannot be run as Python: give it the ending .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.parent))
    os.chdir(path.parent)
    sys.dont_write_bytecode = True  # nothing is left beside the user's files
    try:
        spec.loader.exec_module(module)
    except NotMeasuredError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's own code: told in one line with its place
        raise NotMeasuredError(f"the scenario file {path.name} fails{_line(error, file)}: {_told(error)}") from None
    return module


def _line(error: BaseException, file: str) -> str:
    line, frame = "", error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == file:
            line = f" in line {frame.tb_lineno}"
        frame = frame.tb_next
    return line


def _told(error: BaseException) -> str:
    words = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _scenario(module: ModuleType, entry: Mapping[str, Any]) -> Scenario:
    run, on_start, data = (getattr(module, name, None) for name in (entry["name"], ON_START, DATA))
    for name, function in ((entry["name"], run), (ON_START, on_start)):
        if function is not None and not inspect.iscoroutinefunction(function):
            raise NotMeasuredError(f"{entry['file']}: {name} must be `async def {name}(user: User) -> None`")
    if run is None:
        raise NotMeasuredError(f"{entry['file']} has no function {entry['name']}: it was removed while the file ran")
    return Scenario(
        str(entry["name"]), float(entry["weight"]), run, on_start, data if isinstance(data, Feeder) else None
    )
