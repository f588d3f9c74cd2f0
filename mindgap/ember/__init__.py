"""A server on one's own machine that speaks the API of Goodfire's `goodfire` SDK, over open weights."""
