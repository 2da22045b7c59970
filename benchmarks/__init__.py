"""Speed, measured side by side: `python -m benchmarks [names]`. No test depends on a time."""
