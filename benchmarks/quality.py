"""Claim: each group of features, calibration, the weights, refitting and the search are worth so much.

    python -m benchmarks.quality --events PATH... [--search-s 300] [--write docs/quality.md]

Every variant is back-tested like the real thing (see `training.backtest`): members fitted on what came before say what
they think of the part after it, and the vote is learned from still earlier opinions. The variants are judged on the
same points, the last two parts of the log, and their differences to the whole recipe are paired, users resampled.
"""

import argparse
import tempfile
from pathlib import Path

from rich.console import Console

from training.cluster import prepare, ray_cluster
from training.progress import Progress
from training.state import State

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def main() -> None:
    """Measure all variants and print them as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--events", type=Path, nargs="+", required=True, metavar="PATH")
    parser.add_argument("--search-s", type=float, default=300.0, help="seconds of the search that is judged, too")
    parser.add_argument("--trials", type=int, default=12, help="its trials of each member kind (default: %(default)s)")
    parser.add_argument("--write", type=Path, metavar="PATH", help="replace the tables in this Markdown file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cartcast-quality-") as directory:
        state = State(Path(directory), f"sqlite:///{directory}/mlflow.db")
        prepare(None, state.ray_token)
        from benchmarks.ablations import measured  # imports Ray, which reads its environment then

        with ray_cluster() as cpus:
            tables = measured(given, state, cpus, Progress(Console(stderr=True, highlight=False)))
    print(tables)
    if given.write:
        text = given.write.read_text(encoding="utf-8")
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        given.write.write_text(f"{before}{BEGIN}\n{tables}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
