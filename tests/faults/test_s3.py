"""An S3 that throttles every third PUT and loses answers to others: runs are whole, and nobody's is overwritten."""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest

from deployments.hosting.guardian import Guardian
from storage.errors import RunExistsError
from storage.parquet import Store
from storage.records import ComponentId
from storage.runs import RunFolder
from tests.faults.s3_faults import troubled
from tests.s3_server import CREDENTIALS, start_s3
from tests.unit.test_storage import TABLE, info, measured

RUNS = 6
BUCKET = "troubled-results"


def test_runs_are_whole_and_nothing_is_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with Guardian(Path(tempfile.mkdtemp(prefix="hasivu-test-"))) as guardian:
        address = start_s3(guardian, deadline=time.monotonic() + 60)
        admin = boto3.session.Session("admin", "canary-admin", region_name="ap-south-1").client(
            "s3", endpoint_url=address
        )
        admin.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "ap-south-1"})
        with troubled(address) as trouble:
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", trouble.address)
            store = Store(f"s3://{BUCKET}/team")

            def run(number: int) -> None:
                folder = RunFolder(store, "development", f"r{number}")
                folder.create(info(f"r{number}"), {"number": number})
                measured(folder)

            with ThreadPoolExecutor(RUNS) as pool:
                list(pool.map(run, range(RUNS)))
            assert trouble.slowed > RUNS
            assert trouble.lost > 1
            for number in range(RUNS):
                folder = RunFolder(store, "development", f"r{number}")
                assert folder.opened() == (info(f"r{number}"), {"number": number})
                files = folder.component(ComponentId.API)
                manifest = files.manifest()
                assert manifest is not None
                files.verify(manifest)
                assert files.tables(manifest)["samples"].equals(TABLE)
                with pytest.raises(RunExistsError):
                    folder.create(info(f"r{number}"), {"number": -1})
                assert folder.opened()[1] == {"number": number}
