"""Every theorem of the book has a test, and every test's theorem is in the book."""

import re
from pathlib import Path

import coursekit_book

ROOT = Path(__file__).resolve().parents[2]
BOOK = sorted((ROOT / "book").glob("*.md"))
THEOREM = re.compile(r"^(`{3,}|:{3,})\{prf:theorem\}.*?$(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)


def theorems():
    """`{label or first line: page}` of every `{prf:theorem}`."""
    found = {}
    for page in BOOK:
        for match in THEOREM.finditer(page.read_text(encoding="utf-8")):
            label = re.search(r"^:label:\s*(\S+)", match[2], re.MULTILINE)
            found[label[1] if label else match[0].splitlines()[0]] = page.name
    return found


def test_every_theorem_has_a_label_that_says_so():
    assert [label for label in theorems() if not label.startswith("thm-")] == []
    assert theorems()


def test_every_theorem_has_a_test():
    tests = coursekit_book.theorem_tests(ROOT / "tests")
    assert {label: page for label, page in theorems().items() if label not in tests} == {}


def test_every_marked_test_has_its_theorem():
    tests = coursekit_book.theorem_tests(ROOT / "tests")
    unknown = {label: [name for _, name, _ in found] for label, found in tests.items() if label not in theorems()}
    assert unknown == {}


def test_every_theorem_is_proved_on_its_page():
    unproved = {}
    for page in BOOK:
        text = page.read_text(encoding="utf-8")
        statements, proofs = len(THEOREM.findall(text)), len(re.findall(r"\{prf:proof\}", text))
        if proofs < statements:
            unproved[page.name] = (statements, proofs)
    assert unproved == {}
