"""The HTTP edge: thin shells over the engine, and the one place that knows status codes."""
