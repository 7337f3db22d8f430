"""A simulated shop whose true purchase probability is known at every decision point (see docs/simulator.md)."""
