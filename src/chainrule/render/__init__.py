"""One explanation, many pages: the same dataclass as text, LaTeX, Markdown and JSON."""
