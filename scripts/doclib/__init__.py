"""What scripts/docs makes the site of: symbol graphs of Swift, C and Python, and pages of Markdown."""
