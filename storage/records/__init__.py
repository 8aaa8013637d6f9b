"""The records that a run produces: frozen, typed, closed, and the same in memory, on disk and in a report.

Units: durations in ms, ratios 0..1 (per cent only when rendered), rates per second, times in UTC.
First law: a number has evidence (source, unit, n, window); what was not measured has no number and says why.
"""

from __future__ import annotations

from storage.records.advice import Applied, AppliedChange, Calibration, RoadmapItem, Verification
from storage.records.base import (
    SCHEMA_VERSION,
    ComponentId,
    Count,
    Finite,
    MetricName,
    Ratio,
    Record,
    Unit,
    Utc,
    Window,
)
from storage.records.change import Hint, Place, Regression
from storage.records.collected import Collected, LoadSummary, Manifest, StoredFile, Trust
from storage.records.component import ComponentResult, FailedComponent, MeasuredComponent, SkippedComponent
from storage.records.finding import Finding, Level, PredictedChange, Remedy, Severity
from storage.records.gate import Gate, GateCheck, GatePolicy, GateVerdict, Waiver, WaiverState, WaiverUse
from storage.records.measurement import Measurement
from storage.records.report import Report
from storage.records.run import Attempt, EarlierRun, RunInfo, Timeline
from storage.records.score import Assessment, Band, ComponentScore, Explanation, Lever, PointsLost, Score
from storage.records.threshold import AlertLevel, Direction, Threshold

__all__ = [
    "SCHEMA_VERSION",
    "AlertLevel",
    "Applied",
    "AppliedChange",
    "Assessment",
    "Attempt",
    "Band",
    "Calibration",
    "Collected",
    "ComponentId",
    "ComponentResult",
    "ComponentScore",
    "Count",
    "Direction",
    "EarlierRun",
    "Explanation",
    "FailedComponent",
    "Finding",
    "Finite",
    "Gate",
    "GateCheck",
    "GatePolicy",
    "GateVerdict",
    "Hint",
    "Level",
    "Lever",
    "LoadSummary",
    "Manifest",
    "MeasuredComponent",
    "Measurement",
    "MetricName",
    "Place",
    "PointsLost",
    "PredictedChange",
    "Ratio",
    "Record",
    "Regression",
    "Remedy",
    "Report",
    "RoadmapItem",
    "RunInfo",
    "Score",
    "Severity",
    "SkippedComponent",
    "StoredFile",
    "Threshold",
    "Timeline",
    "Trust",
    "Unit",
    "Utc",
    "Verification",
    "Waiver",
    "WaiverState",
    "WaiverUse",
    "Window",
]
