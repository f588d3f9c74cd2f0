"""One comparison from a sweep's results: differences, trade-off, judges, people, published figures."""
