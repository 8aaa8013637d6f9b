"""Secrets are masked in every form they are met in."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from deployments.config import Target
from deployments.masking import mask, secrets_of

PASSWORD = "p@ss/w:rd %41&x"


def test_quoted_and_plain_passwords_are_masked() -> None:
    url = f"postgresql://perf:{quote(PASSWORD, safe='')}@db.example.test:5432/hasivu?sslpassword=canary-query"
    secrets = secrets_of(Target(database_url=SecretStr(url)), {"AWS_SECRET_ACCESS_KEY": "canary-aws"})
    text = f"could not connect to {url} as {PASSWORD} or {quote(PASSWORD)} with canary-query and canary-aws"
    masked = mask(text, secrets)
    for leak in (PASSWORD, quote(PASSWORD, safe=""), "canary-query", "canary-aws"):
        assert leak not in masked
    assert "db.example.test" in masked


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=40))
def test_no_password_survives(password: str) -> None:
    url = f"redis://:{quote(password, safe='')}@cache.example.test:6379/0"
    secrets = secrets_of(Target(redis_url=SecretStr(url)), {})
    assert quote(password, safe="") not in mask(f"error: {url}: NOAUTH {password}", secrets).replace("***", "")
