"""Text of others, made safe for Markdown and HTML."""

_MARKDOWN = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_{}[]()#+-.!|~"})
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def printable(text: str) -> str:
    """Replace line breaks, control characters and what no file can hold by single spaces."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def escaped(text: str) -> str:
    """Escape a title, question, claim or error so that Markdown and HTML show it as written."""
    return printable(text).translate(_MARKDOWN).translate(_HTML)
