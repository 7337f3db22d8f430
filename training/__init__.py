"""From an event log to a bundle: examples, searches, calibration, registry."""
