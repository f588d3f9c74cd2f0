"""A sweep's comparison as a page, as Markdown and as LaTeX: presenters only."""
