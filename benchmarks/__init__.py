"""One command per claim, with its peers in the same run: `make bench`, or `python -m benchmarks NAME`."""
