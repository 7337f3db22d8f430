"""`python -m benchmarks [NAME ...]`: measure what the README claims. Serving, explanation and score need a champion."""

import argparse
import importlib

CLAIMS = {
    "serving": "requests a second and latency over HTTP, beside an echo and the four models in one process",
    "explanation": "milliseconds of Shapley values per row, beside the shap library on the same trees",
    "features": "microseconds of a feature vector alone, in a batch and in a block, beside plain Python",
    "examples": "events a second of example making, its growth and memory, beside a catalogue of 100,000 products",
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
