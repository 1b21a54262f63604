"""What happened, told to people and to programs: job reports, error and usage analytics."""

from facefusion.reports.analytics import Analytics
from facefusion.reports.documents import write_failure_report, write_result_report
from facefusion.reports.error_analysis import ErrorAnalyzer, ErrorReport
from facefusion.reports.records import Failure, JobRecord, Outcome
from facefusion.reports.usage import UsageAnalytics, UsageReport

__all__ = [
    "Analytics",
    "ErrorAnalyzer",
    "ErrorReport",
    "Failure",
    "JobRecord",
    "Outcome",
    "UsageAnalytics",
    "UsageReport",
    "write_failure_report",
    "write_result_report",
]
