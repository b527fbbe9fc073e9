"""Write where the project is hosted into install cells and links (`make stamp`).

`repository.url` and `repository.branch` in `_config.yml` are the only source; this copies them into
the notebooks' install cells, their links to files of the repository, every "Open in Colab" link of notebooks, pages and
README, and `CITATION.cff`.
"""

import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
COLAB = "https://colab.research.google.com/github/"
PATTERNS = ("README.md", "CONTRIBUTING.md", "CITATION.cff", "book/*.md", "notebooks/**/*.ipynb")


def repository(root=ROOT):
    """`(url, "owner/name", branch)` from `_config.yml`."""
    settings = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]
    url = settings["url"].rstrip("/")
    match = re.fullmatch(r"https://github\.com/([^/\s]+/[^/\s]+)", url)
    if not match:
        raise ValueError(f"repository.url in _config.yml must be https://github.com/OWNER/NAME for Colab, not {url}")
    return url, match[1], settings["branch"]


def install_requirement(root=ROOT):
    """What pip installs on Colab."""
    url, _, branch = repository(root)
    return f"coursekit @ git+{url}@{branch}"


def colab_link(path, root=ROOT):
    """Address that opens the notebook at `path` (relative to the root) on Colab."""
    _, slug, branch = repository(root)
    return f"{COLAB}{slug}/blob/{branch}/{path}"


def page_link(path, heading, root=ROOT):
    """Address of a heading in a Markdown file (relative to the root), for notebooks that are read far from the book."""
    url, _, branch = repository(root)
    anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
    return f"{url}/blob/{branch}/{path}#{anchor}"


def stamped(text, root=ROOT):
    """The text with every link and install line as `_config.yml` says."""
    url, slug, branch = repository(root)
    link = re.compile(re.escape(COLAB) + r"([\w.-]+/[\w.-]+)/blob/([\w.-]+)/")
    named = re.compile(r"(?:git clone |repository-code: \"?)https://github\.com/([\w.-]+/[\w.-]+)")
    old_slugs = {match[1] for pattern in (link, named) for match in pattern.finditer(text)}
    text = link.sub(f"{COLAB}{slug}/blob/{branch}/", text)
    text = re.sub(r"coursekit @ git\+https://[^\s\"'\\@]+@[\w./-]+", f"coursekit @ git+{url}@{branch}", text)
    for old in old_slugs:
        text = re.sub(rf"https://github\.com/{re.escape(old)}(?![\w-])", url, text)
    text = re.sub(rf"{re.escape(url)}/(blob|raw)/[\w.-]+/", rf"{url}/\1/{branch}/", text)
    return text


def stamped_files(root=ROOT):
    return sorted(path for pattern in PATTERNS for path in root.glob(pattern) if ".ipynb_checkpoints" not in path.parts)


def main(root=ROOT):
    for path in stamped_files(root):
        before = path.read_text(encoding="utf-8")
        after = stamped(before, root)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"stamped {path.relative_to(root)}")


if __name__ == "__main__":
    sys.exit(main())
