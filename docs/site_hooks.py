"""MkDocs hooks that build the site from the repository's Markdown files.

Pages come from docs/ and from the files in PAGES. Links to other files lead to copies in the site;
links to folders become plain text.
"""

import json
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {  # in the site: in the repository
    "index.md": "README.md",
    "configuration.md": "config/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "results.md": "docs/results.ipynb",
}
SITE = {path: page for page, path in PAGES.items()} | {"docs/README.md": "index.md"}
COPIES = "source"
REFERENCE = {
    "Results in Python": ["posmlp.analysis.results", "posmlp.runs.trained_run"],
    "Networks": ["posmlp.models"],
    "Layers": ["posmlp.layers"],
}
LINK = re.compile(r"(!?\[[^\]]*\])\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/, and every file that a page links to."""
    texts = {page: source_text(path) for page, path in PAGES.items()} | {
        "reference.md": reference()
    }
    for page, text in texts.items():
        files.append(File.generated(config, page, content=text))
    files.remove(files.src_uris["results.ipynb"])
    queue = list(files.documentation_pages())
    while queue:
        file = queue.pop()
        for link in LINK.finditer(file.content_string):
            path = linked(file.src_uri, link[2])
            name = in_site(path)
            if (ROOT / path).is_file() and name not in files.src_uris:
                files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
                queue += [files.src_uris[name]] if name.endswith(".md") else []
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links between files of the repository as links within the site."""
    here = page.file.src_uri

    def moved(link: re.Match[str]) -> str:
        path = linked(here, link[2])
        if (ROOT / path).is_dir():
            return link[1].strip("[]")
        target = posixpath.relpath(in_site(path), posixpath.dirname(here))
        return f"{link[1]}({target}{link[3] or ''})"

    return LINK.sub(moved, markdown)


def linked(page: str, target: str) -> str:
    """Path, in the repository, of a file that a page of the site links to."""
    source = PAGES.get(page) or page.removeprefix(f"{COPIES}/")
    if source == page:
        source = f"docs/{page}"
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), target))


def in_site(path: str) -> str:
    """Path, in the site, of a file of the repository."""
    return SITE.get(path) or (
        path.removeprefix("docs/") if path.startswith("docs/") else f"{COPIES}/{path}"
    )


def reference() -> str:
    """The API reference page; mkdocstrings fills it."""
    parts = ["# Reference"]
    for title, modules in REFERENCE.items():
        parts += [f"## {title}", *(f"::: {module}" for module in modules)]
    return "\n\n".join(parts) + "\n"


def source_text(path: str) -> str:
    """A page's Markdown; a notebook is converted, with its cells and outputs."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if not path.endswith(".ipynb"):
        return text
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        parts += [shown(output) for output in cell.get("outputs", [])]
    return "\n\n".join(parts) + "\n"


def shown(output: dict) -> str:
    data = output.get("data", {"text/plain": output.get("text", "")})
    if "image/png" in data:
        return f'<img alt="" src="data:image/png;base64,{data["image/png"].strip()}">'
    if "text/html" in data:
        return "".join(data["text/html"])
    return f"```\n{''.join(data['text/plain'])}\n```"
