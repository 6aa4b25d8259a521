"""The result page of a run: one folder that opens from disk, in any browser, without a network."""

from motive.report.data import (
    Comparison,
    ComparisonRow,
    Estimate,
    Metric,
    QueryReport,
    ReportClip,
    ReportData,
    ScoredClip,
    SelectedClip,
)
from motive.report.page import build_report

__all__ = [
    "Comparison",
    "ComparisonRow",
    "Estimate",
    "Metric",
    "QueryReport",
    "ReportClip",
    "ReportData",
    "ScoredClip",
    "SelectedClip",
    "build_report",
]
