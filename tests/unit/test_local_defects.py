"""The list of planted defects agrees with the facts and with the documentation, and holds every kind."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from deployments.local import schema
from deployments.local.defects import PLANTED, WITHOUT_INDEX, Kind

DOCUMENT = Path(__file__).parents[2] / "docs" / "local-platform.md"


def test_every_kind_of_defect_is_planted_and_every_id_is_unique() -> None:
    assert {defect.kind for defect in PLANTED} == set(get_args(Kind))
    assert len({defect.id for defect in PLANTED}) == len(PLANTED)


def test_what_is_left_out_is_an_index_of_the_facts() -> None:
    names = {index.name for table in schema.tables() for index in table.indexes}
    assert set(WITHOUT_INDEX) <= names


def test_foreign_keys_that_are_said_to_have_no_index_have_none() -> None:
    tables = {table.name: table for table in schema.tables()}
    for defect in PLANTED:
        if defect.kind != "foreign key without index":
            continue
        column, constraint = defect.objects
        table = tables[defect.where]
        assert constraint in {schema.foreign_key_name(table, key) for key in table.foreign_keys}
        leading = {index.columns[0] for index in table.indexes if index.name not in WITHOUT_INDEX}
        assert column not in leading | {table.primary_key[0]}


def test_the_documentation_lists_every_planted_defect() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    listed = {tuple(cell.strip().strip("`") for cell in row.strip("|").split("|")) for row in rows}
    for defect in PLANTED:
        assert (defect.id, defect.kind, defect.where, defect.expected) in listed
