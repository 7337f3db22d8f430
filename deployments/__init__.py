"""From a bundle to answers: Ray Serve, Redis, explanations and batch scoring."""
