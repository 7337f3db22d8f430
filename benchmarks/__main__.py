"""`python -m benchmarks [serving|explanation|score]`: measure what the README claims. Needs a champion."""

import argparse
import importlib

CLAIMS = {
    "serving": "requests a second and latency over HTTP, beside an echo and the four models in one process",
    "explanation": "milliseconds of Shapley values per row, beside the shap library on the same trees",
    "score": "rows a second of batch scoring, beside the members alone",
}


def main() -> None:
    """Run the named benchmarks, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="; ".join(f"{k}: {v}" for k, v in CLAIMS.items()))
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each measurement (default: 10)")
    options = parser.parse_args()
    unknown = set(options.names) - set(CLAIMS)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}: choose from {', '.join(CLAIMS)}")
    for name in options.names or CLAIMS:
        importlib.import_module(f"benchmarks.{name}").run(options.seconds)


if __name__ == "__main__":
    main()
