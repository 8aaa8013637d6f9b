"""The store's promises, on a folder and on an S3 emulator alike, and what a person is told where S3 refuses."""

from __future__ import annotations

import errno
import http.client
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any, Literal

import boto3
import httpx
import pyarrow as pa
import pytest

from deployments.hosting.guardian import Guardian, free_port
from storage.compaction import compact, retire
from storage.errors import DamagedFileError, RunExistsError, StorageError, UsageError
from storage.history import open_history
from storage.parquet import Store
from storage.records import ComponentId, RunInfo
from storage.retention import remove_run
from storage.runs import ANALYSIS, RunFolder
from tasks.publish import publish_report
from tests.history_runs import made
from tests.history_runs import name as run_name
from tests.report_example import example_report
from tests.s3_server import CREDENTIALS, start_s3

ROOT = Path(__file__).resolve().parents[2]
REGION = "ap-south-1"
NUMBERS = count()
WRITERS = 16


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    with Guardian(Path(tempfile.mkdtemp(prefix="hasivu-test-"))) as guardian:
        yield start_s3(guardian, deadline=time.monotonic() + 60)


@pytest.fixture
def s3(emulator: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The emulator; the address for other services of AWS is a dead one, so that of S3 must win."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", emulator)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    return emulator


def amazon(service: str, address: str) -> Any:
    session = boto3.session.Session("admin", "canary-admin", region_name=REGION)
    return session.client(service, endpoint_url=address)  # type: ignore[call-overload]


def new_bucket(address: str) -> str:
    """A bucket of a test's own: how one is reached is decided once in a process."""
    name = f"results-{next(NUMBERS)}"
    amazon("s3", address).create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return name


@pytest.fixture(params=["folder", "bucket"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path)
    return f"s3://{new_bucket(request.getfixturevalue('s3'))}/team/results"


def test_everything_that_a_store_does(root: str) -> None:
    store = Store(root)
    assert not store.exists("a/b.json")
    assert store.names("a") == store.folders("a") == []
    stored = store.write_json("a/b.json", {"x": "₹"})
    store.write("a/c/d.bin", b"one")
    store.write("a/c/d.bin", b"three")
    table = pa.table({"latency_ms": [1.0, 2.0]})
    rows = store.write_table("a-2/t.parquet", table)

    assert store.read_json("a/b.json", stored) == {"x": "₹"}
    assert store.read("a/c/d.bin") == b"three"
    assert store.read_table("a-2/t.parquet", rows).equals(table)
    assert (store.names("a"), store.folders("a"), store.folders("")) == (["b.json", "c"], ["c"], ["a", "a-2"])
    assert store.exists("a")
    assert store.exists("a/c")
    assert not store.exists("a/b")
    listed = store.files("a")
    assert [(file.name, file.bytes) for file in listed] == [("a/b.json", stored.bytes), ("a/c/d.bin", 5)]
    assert all(datetime.now(UTC) - file.modified < timedelta(minutes=1) for file in listed)
    with pytest.raises(DamagedFileError, match=r"a/c/d\.bin is not what was written"):
        store.read("a/c/d.bin", stored)
    with pytest.raises(DamagedFileError, match=r"a/nothing is missing"):
        store.read("a/nothing")
    store.remove("a/b.json")
    store.remove("a/b.json")
    store.remove_folder("a")
    store.remove_folder("a")
    assert store.files("a") == []
    assert store.names("") == ["a-2"]


def test_a_bucket_without_a_prefix_is_an_output_too(s3: str) -> None:
    test_everything_that_a_store_does(f"s3://{new_bucket(s3)}")


def test_the_history_site_is_served_from_a_bucket(s3: str) -> None:
    bucket = new_bucket(s3)
    store = Store(f"s3://{bucket}/team")
    report = example_report()
    publish_report(RunFolder(store, report.info.environment, report.info.run), report)
    site = "performance-orchestration-reports/staging"
    pages = ("index.html", f"{site}/index.html", f"{site}/{report.info.run}/report.html")
    for name in (*pages, f"{site}/runs.json"):
        found = amazon("s3", s3).head_object(Bucket=bucket, Key=f"team/{name}")["ContentType"]
        assert found == ("application/json" if name.endswith("json") else "text/html; charset=utf-8")
    assert f'href="{site}/index.html"'.encode() in store.read("index.html")
    assert f'href="{report.info.run}/report.html"'.encode() in store.read(pages[1])


def test_of_many_writers_exactly_one_creates(root: str) -> None:
    store = Store(root)
    barrier = threading.Barrier(WRITERS)

    def claim(name: str) -> bool:
        barrier.wait(30)
        return store.create(name, b"the same content, so only the claim itself can tell them apart")

    for name in (f"run-{number}/run.json" for number in range(3)):
        with ThreadPoolExecutor(WRITERS) as pool:
            assert sum(pool.map(claim, [name] * WRITERS)) == 1
        assert store.names(name.partition("/")[0]) == ["run.json"]
    assert not store.create("run-0/run.json", b"later")
    assert store.read("run-0/run.json").startswith(b"the same")


CLAIMING = """
import sys
from storage.parquet import Store
store = Store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(sum(store.create(f"run-{n}/run.json", b"x" * 20_000) for n in range(12)), flush=True)
"""


def test_processes_share_the_claims_without_a_gap_or_an_overlap(root: str) -> None:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", CLAIMING, root]
    writers = [subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) for _ in range(3)]
    try:
        assert {str(writer.stdout and writer.stdout.readline()) for writer in writers} == {"ready\n"}
        for writer in writers:
            assert writer.stdin
            writer.stdin.write("go\n")
            writer.stdin.flush()
        won = [int(writer.communicate(timeout=60)[0]) for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert sum(won) == 12


def test_a_reader_sees_a_created_file_whole_or_not_at_all(root: str) -> None:
    store = Store(root)
    content = b"x" * 2_000_000
    seen: set[int] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            for number in range(8):
                try:
                    seen.add(len(store.read(f"file-{number}")))
                except DamagedFileError:
                    seen.add(0)

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(look) for _ in range(2)]
        for number in range(8):
            store.create(f"file-{number}", content)
        ended.set()
        for reader in readers:
            reader.result(30)
    assert seen <= {0, len(content)}


def test_two_runs_never_claim_one_folder(root: str) -> None:
    info = RunInfo(run="r1", environment="staging", profile="staging", started=datetime.now(UTC), code_version="test")
    RunFolder(Store(root), "staging", "r1").create(info, {})
    with pytest.raises(RunExistsError, match=r"staging/r1/run\.json exists"):
        RunFolder(Store(root), "staging", "r1").create(info, {})


class Between(BaseHTTPRequestHandler):
    """Passes requests on to the emulator, except that the first PUT fares badly."""

    protocol_version = "HTTP/1.1"
    behind = ""
    bad: Literal["answer lost", "conflict"] = "answer lost"
    puts = 0

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        type(self).puts += self.command == "PUT"
        bad = self.command == "PUT" and self.puts == 1
        if bad and self.bad == "conflict":
            self._answer(409, [], b"<Error><Code>ConditionalRequestConflict</Code></Error>")
            return
        back = http.client.HTTPConnection(self.behind, timeout=20)
        back.request(self.command, self.path, body, dict(self.headers))
        answer = back.getresponse()
        content = answer.read()
        if bad:
            self.close_connection = True
        else:
            self._answer(answer.status, answer.getheaders(), content)

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in {"connection", "content-length", "server", "date"}:
                self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = _pass_on  # noqa: N815 - the base class's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@pytest.mark.parametrize("bad", ["answer lost", "conflict"])
def test_a_claim_that_had_to_be_repeated_is_still_ones_own(
    s3: str, monkeypatch: pytest.MonkeyPatch, bad: Literal["answer lost", "conflict"]
) -> None:
    class Handler(Between):
        behind = s3.removeprefix("http://")

    Handler.bad = bad
    bucket = new_bucket(s3)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{proxy.server_port}")
            store = Store(f"s3://{bucket}")
            assert store.create("run.json", b"mine")
            assert Handler.puts == 2
            assert store.read("run.json") == b"mine"
            assert not store.create("run.json", b"mine")
        finally:
            proxy.shutdown()


def test_what_is_set_later_for_other_services_does_not_move_the_results(
    s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = f"s3://{new_bucket(s3)}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    Store(root)
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_REGION"):  # as the embedded platform does
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert Store(root).create("run.json", b"mine")


def test_a_file_system_without_hard_links_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")  # what vfat answers

    monkeypatch.setattr("os.link", link)
    with pytest.raises(StorageError, match=r"run\.json .* no hard links.* choose another output"):
        Store(tmp_path).create("run.json", b"mine")
    assert list(tmp_path.iterdir()) == []


def problem(root: str) -> str:
    """What a person is told, in one line, within a bounded time, by every operation alike."""
    store = Store(root)
    told = []
    for operation in (lambda: store.read("x"), lambda: store.create("x", b""), lambda: store.files("x")):
        began = time.monotonic()
        with pytest.raises(StorageError) as caught:
            operation()
        assert time.monotonic() - began < 30
        told.append(str(caught.value))
    for text in told:
        assert root in text
        assert "canary" not in text
        assert "\n" not in text
    assert len({text.partition(": ")[2] for text in told}) == 1
    return told[0]


def test_a_missing_bucket_is_named(s3: str) -> None:
    assert "no such bucket; create it" in problem("s3://never-made/x")


def test_a_dead_endpoint_is_named_without_its_password(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://user:canary@127.0.0.1:{free_port()}")
    text = problem("s3://dead-endpoint/x")
    assert "http://***@127.0.0.1" in text
    assert "does not answer" in text
    assert "AWS_ENDPOINT_URL_S3" in text


def test_an_endpoint_that_is_silent_is_given_up(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.bucket.READ_TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(StorageError, match=r"does not answer \(ReadTimeoutError\)"):
            Store("s3://silent-endpoint").read("x")
        assert time.monotonic() - began < 10


def test_missing_credentials_are_named(s3: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE" in problem("s3://nobody/x")


def test_a_wrong_address_or_name_is_a_usage_error(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "nonsense")
    with pytest.raises(UsageError, match="Invalid endpoint"):
        Store("s3://wrong-address")
    for name in ("s3://", "s3:///x", "s3://UPPER/x", "s3://bucket?region=x", "gs://bucket"):
        with pytest.raises(UsageError, match="use a folder or s3://bucket/prefix"):
            Store(name)


@pytest.fixture
def strict(s3: str) -> Iterator[str]:
    """The emulator while it checks signatures and policies as AWS does."""
    yield s3
    _count_before_checks(s3, "inf")


def _count_before_checks(address: str, number: str) -> None:
    plain = {"content-type": "text/plain"}
    httpx.post(f"{address}/moto-api/reset-auth", content=number, headers=plain, timeout=10).raise_for_status()


def documented_policy(bucket: str) -> dict[str, Any]:
    text = (ROOT / "docs" / "storage.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"```json\n(.+?)```", text, re.DOTALL)
    policy: dict[str, Any] = json.loads(found.replace("BUCKET", bucket).replace("PREFIX", "team"))
    return policy


def user_with(address: str, policy: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    iam = amazon("iam", address)
    name = f"user-{next(NUMBERS)}"
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="results", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])


def test_the_documented_policy_allows_all_that_is_needed(strict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = new_bucket(strict)
    policy = documented_policy(bucket)
    # S3 asks for the right to each object that a DeleteObjects names; the emulator asks for it to the bucket.
    policy["Statement"].append({"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": f"arn:aws:s3:::{bucket}"})
    user_with(strict, policy, monkeypatch)
    _count_before_checks(strict, "0")
    test_everything_that_a_store_does(f"s3://{bucket}/team/results")
    assert Store(f"s3://{bucket}/team").create("claim", b"")


def test_without_the_right_to_delete_runs_are_stored_and_none_removed(
    strict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = new_bucket(strict)
    policy = documented_policy(bucket)
    policy["Statement"] = [one for one in policy["Statement"] if "s3:DeleteObject" not in one["Action"]]
    assert len(policy["Statement"]) == 2
    user_with(strict, policy, monkeypatch)
    _count_before_checks(strict, "0")
    store = Store(f"s3://{bucket}/team")
    RunFolder(store, "staging", "r1").component(ComponentId.API).begin()
    assert store.create("a/run.json", b"1")
    store.write("a/report.json", b"2")
    with pytest.raises(StorageError, match=r"s3:DeleteObject is denied; allow it"):
        store.remove("a/run.json")
    with pytest.raises(StorageError, match=r"s3:DeleteObject is denied; allow it"):
        store.remove_folder("a")
    assert len(store.files("a")) == 2


def test_credentials_that_are_refused_are_named(strict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = new_bucket(strict)
    user_with(strict, documented_policy(bucket), monkeypatch)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-wrong")
    _count_before_checks(strict, "0")
    assert "the credentials are refused (SignatureDoesNotMatch)" in problem(f"s3://{bucket}/team")


def test_history_in_a_bucket_is_compacted_and_keeps_what_retention_removes(s3: str) -> None:
    store = Store(f"s3://{new_bucket(s3)}/out")
    for number in range(4):
        made(store, number)
    before = open_history(store, "staging").series(metric="api.latency.p95")
    assert [one.values.tolist() for one in before] == [[100.0, 101.0, 102.0, 103.0]]
    assert compact(store, "staging", least=1).taken_up == tuple(run_name(number) for number in range(4))
    assert retire(store, "staging", [run_name(0)]) == {}
    assert remove_run(store, "staging", run_name(0))
    store.remove_folder(f"{ANALYSIS}/staging/{run_name(1)}")
    history = open_history(store, "staging")
    (series,) = history.series(metric="api.latency.p95")
    assert series.values.tolist() == [100.0, 102.0, 103.0]
    assert list(history.left_out) == [run_name(1)]
    assert history.loose == frozenset()
