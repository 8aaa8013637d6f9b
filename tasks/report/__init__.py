"""Pure rendering: one Report record becomes JSON, Markdown, HTML and JUnit."""
