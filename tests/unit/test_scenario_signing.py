"""AWS Signature Version 4: what httpx sends carries the signature that botocore itself makes of the same request."""

from __future__ import annotations

from datetime import datetime

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from storage.errors import NotMeasuredError
from tasks.load.scenario.credentials import AwsKeys, SigV4

ACCESS, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session/token=="


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("GET", "https://api.school.test/menus/daily?schoolId=7&date=2026-03-02", None),
        ("GET", "https://api.school.test/a%20b/%C3%A9?z=1&a=x%2Fy&empty=", None),
        ("POST", "https://api.school.test:8443/orders", {"items": [{"id": "é"}]}),
        ("DELETE", "http://127.0.0.1:9000/", None),
    ],
)
def test_the_signature_is_botocores_own(
    method: str, url: str, body: dict[str, object] | None, token: str | None
) -> None:
    request = httpx.Request(method, url, json=body, headers={"x-trace": "1", "authorization": "Bearer old"})
    request.read()
    signed = next(
        SigV4(AwsKeys(ACCESS, SECRET, token), service="execute-api", region="ap-south-1").auth_flow(request)
    )
    moment = datetime.strptime(signed.headers["x-amz-date"], "%Y%m%dT%H%M%SZ")  # noqa: DTZ007 - as botocore signs

    headers = {"host": request.headers["host"]} | ({"content-type": "application/json"} if body else {})
    twin = AWSRequest(method, url, headers=headers, data=request.content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.auth.get_current_datetime", lambda **_: moment)
        SigV4Auth(Credentials(ACCESS, SECRET, token), "execute-api", "ap-south-1").add_auth(twin)
    assert signed.headers["authorization"] == twin.headers["Authorization"]
    assert signed.headers.get("x-amz-security-token") == token
    assert signed.headers["x-trace"] == "1"
    assert SECRET not in repr(signed.headers)


def test_a_change_of_the_body_changes_the_signature() -> None:
    auth = SigV4(AwsKeys(ACCESS, SECRET), service="execute-api", region="ap-south-1")
    signatures = set()
    for body in (b"1", b"2"):
        request = httpx.Request("POST", "https://api.school.test/orders", content=body)
        request.read()
        signatures.add(next(auth.auth_flow(request)).headers["authorization"].rpartition("=")[2])
    assert len(signatures) == 2


def test_keys_come_from_the_usual_chain_and_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    keys = AwsKeys.found()
    assert keys.to_json()["secret_key"] == SECRET
    assert SECRET not in repr(keys)


def test_without_keys_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(NotMeasuredError, match="AWS_ACCESS_KEY_ID"):
        AwsKeys.found()
