"""Samples of HTTP load → measurements, each with its evidence; and what `doctor` looks at. Shared by components."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pyarrow as pa
from pydantic import SecretStr

from storage.errors import NotMeasuredError
from storage.records import Measurement, Unit, Window
from tasks.load.recording import samples
from tasks.load.wire.address import Address, parse, probe

SOURCE = "HTTP load, open model, latency from the intended start"
_NORMAL_975 = 1.959963984540054
_TOO_MANY = 429
_SERVER_ERRORS = 500


def latency(
    metric: str, rows: pa.Table, q: float, *, labels: Mapping[str, str] | None = None, why_none: str = ""
) -> Measurement:
    """A percentile of the latency of answered requests, in ms; without any answer the reason, with the counts.

    Answers with an unexpected status count: the error ratio tells of them. `why_none` is said where no request was
    sent at all.
    """
    values = samples.latency_ms(rows)
    value = samples.percentile(values, q)
    return Measurement(
        metric=metric,
        value=value,
        unit=Unit.MS,
        n=len(values),
        source=SOURCE,
        window=samples.window(rows),
        interval=samples.percentile_interval(values, q),
        labels=labels or {},
        note=no_data(rows, why_none) if value is None else _caveat(rows, q),
    )


def no_data(rows: pa.Table, why_none: str = "") -> str:
    """Why there is no latency: `no data: 600 of 600 requests got no answer (600 connect)`."""
    number = samples.counts(rows)
    if not number["sent"]:
        return f"no data: {why_none or 'no request was sent'}"
    kinds = ", ".join(f"{count} {kind}" for kind, count in samples.errors_by_kind(rows).items())
    return f"no data: {number['errors']} of {number['sent']} requests got no answer ({kinds})"


def _caveat(rows: pa.Table, q: float) -> str:
    """What a reader of the figure must know."""
    number = samples.counts(rows)
    caveats = []
    if number["answered"] * (1 - q) < 1:
        caveats.append(f"of {number['answered']} answers, the largest stands for this percentile")
    if number["errors"]:
        caveats.append(f"{number['errors']} of {number['sent']} requests without an answer are not in it")
    if number["failed"]:
        caveats.append(f"{number['failed']} unexpected answers are in it")
    return "; ".join(caveats)


def errors(
    metric: str, rows: pa.Table, *, labels: Mapping[str, str] | None = None, why_none: str = ""
) -> Measurement:
    """(unexpected answers + requests without an answer) ÷ requests sent, with Wilson's interval."""
    ratio = samples.error_ratio(rows)
    number = samples.counts(rows)
    bad = number["failed"] + number["errors"]
    return Measurement(
        metric=metric,
        value=ratio,
        unit=Unit.RATIO,
        n=number["sent"],
        source="HTTP load: (unexpected answers + no answer) ÷ sent",
        window=samples.window(rows),
        interval=wilson(bad, number["sent"]) if number["sent"] else None,
        labels=labels or {},
        note=no_data(rows, why_none) if ratio is None else _apart(rows),
    )


def refused(rows: pa.Table) -> int:
    """Answers that say that there were too many requests (429): the target's own protection, not its failure."""
    return samples.statuses(rows).get(_TOO_MANY, 0)


def _apart(rows: pa.Table) -> str:
    """Refusals and failures of the server are both errors, and mean different things."""
    broken = sum(count for status, count in samples.statuses(rows).items() if status >= _SERVER_ERRORS)
    told = [(refused(rows), "refused as too many (429)"), (broken, "failed in the server (5xx)")]
    return ", ".join(f"{count} {what}" for count, what in told if count)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927), which stays within 0..1 and is honest at 0 hits; n above 0."""
    z2 = _NORMAL_975**2
    share = hits / n
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _NORMAL_975 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return (middle - half if hits else 0.0, middle + half if hits < n else 1.0)


def throughput(
    metric: str,
    rows: pa.Table,
    *,
    labels: Mapping[str, str] | None = None,
    why_none: str = "",
    items: bool = False,
    within: Window | None = None,
) -> Measurement:
    """Good answers per second of `within`, or else from the first intended moment to the last end.

    `items` counts what bulk requests carried. A part of a load is held against the window of the whole.
    """
    window = within or samples.window(rows)
    good = samples.answered(rows) & ~samples.failed(rows)
    weight = samples.column(rows, "items") if items else None
    done = int(good.sum() if weight is None else weight[good].sum())
    value = done / window.seconds if rows.num_rows and window is not None and window.seconds > 0 else None
    return Measurement(
        metric=metric,
        value=value,
        unit=Unit.PER_SECOND,
        n=rows.num_rows,
        source="HTTP load: expected answers ÷ elapsed time",
        window=window,
        labels=labels or {},
        note=no_data(rows, why_none) if value is None else "",
    )


def address_of(url: SecretStr | None, variable: str) -> tuple[str, Address]:
    """The URL for the wire and the address for the eye; `NotMeasuredError` where the variable is empty or wrong."""
    if url is None:
        raise NotMeasuredError(f"{variable} is not set: set it to http(s)://host[:port][/path], or use --local")
    plain = url.get_secret_value()
    return plain, parse(plain, variable=variable)


def statuses_text(rows: pa.Table) -> str:
    """What went wrong, for a sentence: `12 × status 500, 3 × timeout`; only answers that were not expected."""
    bad = rows.filter(pa.array(samples.failed(rows)))
    parts = [f"{count} × status {status}" for status, count in samples.statuses(bad).items()]
    parts += [f"{count} × {kind}" for kind, count in samples.errors_by_kind(rows).items()]
    return ", ".join(parts)


def look(url: SecretStr | None, variable: str) -> list[tuple[str, bool, str, str]]:
    """What doctor sees at an address, without a request: (what, there, detail, remedy) for name, connection, TLS."""
    try:
        _, address = address_of(url, variable)
        found = probe(address)
    except NotMeasuredError as error:
        return [("address", False, str(error), f"correct {variable}")]
    rows = [
        ("address", True, f"{address.shown} is {found.ip}", ""),
        (
            "connection",
            found.accepts,
            found.detail,
            "" if found.accepts else f"start the service, or correct {variable}",
        ),
    ]
    if address.tls and found.accepts:
        rows.append(("TLS", True, f"{found.tls}, certificate verified for {address.host}", ""))
    return rows
