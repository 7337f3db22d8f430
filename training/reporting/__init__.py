"""The report of a training run: one page to look at, the same numbers as JSON, and a table for the terminal."""

from training.reporting.content import CHAMPION, Explained, HeldOut, ReportData
from training.reporting.gather import explained_by
from training.reporting.write import write_html

__all__ = ["CHAMPION", "Explained", "HeldOut", "ReportData", "explained_by", "write_html"]
