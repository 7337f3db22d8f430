"""What a training run ends with on the terminal says which figure is which."""

import io
from typing import Any

import pytest
from rich.console import Console

from tests.drawn_report import drawn_report
from training.reporting.table import quality_table


@pytest.fixture(scope="module")
def metrics() -> dict[str, Any]:
    return dict(drawn_report(2_000).metrics)


def printed(metrics: dict[str, Any], threshold: float | None = None) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(quality_table(metrics, title="of a test", threshold=threshold))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_accuracy_is_not_taken_for_the_threshold(metrics: dict[str, Any]):
    accuracy = metrics["slices"]["all"]["accuracy"]

    assert f"accuracy {accuracy:.3f} at threshold 0.214; F1 of carts" in printed(metrics, 0.2144)
    assert f"accuracy {accuracy:.3f} at the threshold of the best F1; F1" in printed(metrics)


def test_what_chance_explains_of_the_calibration_error_is_told_where_it_is_known(metrics: dict[str, Any]):
    expected, _ = metrics["slices"]["cart"]["ece_by_chance"]
    without = {
        name: {figure: value for figure, value in of_slice.items() if figure != "ece_by_chance"}
        for name, of_slice in metrics["slices"].items()
    }

    assert f"by chance: view {metrics['slices']['view']['ece_by_chance'][0]:.4f}, cart {expected:.4f}" in printed(
        metrics
    )
    assert "by chance" not in printed({**metrics, "slices": without})
