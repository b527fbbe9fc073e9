"""book/_ext/selfcheck.py on a book of one page, and the questions and the glossary of this book."""

import re
from pathlib import Path

import pytest
import selfcheck
from bs4 import BeautifulSoup

BOOK = Path(__file__).resolve().parents[2] / "book"
GOOD = """# Page

```{selfcheck} What is $D^*$ where only the data have density?
- [ ] ½, as *always*
  That is where the two densities are equal.
- [x] 1
  Every $x$ from there is real:

  $$
  \\frac{p}{p + 0} = 1 .
  $$
- [ ] Not defined
  Only where neither has density.
```
"""


@pytest.fixture
def build(tmp_path, sphinx_build):
    """Build one page of Markdown; returns its soup and the warnings."""

    def build(text):
        source = tmp_path / "source"
        source.mkdir()
        (source / "index.md").write_text(text, encoding="utf-8")
        config = {
            "extensions": ["myst_parser", "selfcheck"],
            "myst_enable_extensions": ["dollarmath", "tasklist"],
        }
        html = tmp_path / "html"
        warnings = sphinx_build(source, html, config)
        return BeautifulSoup((html / "index.html").read_text(encoding="utf-8"), "html.parser"), warnings

    return build


# -- the directive ---------------------------------------------------------------------------------


def test_a_question_has_a_label_and_a_details_for_each_option(build):
    soup, warnings = build(GOOD)
    assert warnings == ""
    section = soup.select_one("section.selfcheck")
    assert section.select_one(".selfcheck-label").get_text() == "Check yourself"
    assert section["role"] == "group"
    question = section.find(id=section["aria-labelledby"])
    assert question.get_text() == r"What is \(D^*\) where only the data have density?"
    assert [option.summary.get_text() for option in section.find_all("details")] == [
        "Answer 1: ½, as always",
        "Answer 2: 1",
        "Answer 3: Not defined",
    ]


def test_an_answer_begins_with_its_verdict_in_words(build):
    soup, _ = build(GOOD)
    answers = [" ".join(answer.get_text().split()) for answer in soup.select("details > .selfcheck-answer")]
    assert answers[0] == "Not quite. That is where the two densities are equal."
    assert answers[1].startswith("Right. Every")
    assert answers[2].startswith("Not quite. Only")


def test_questions_and_answers_are_myst(build):
    soup, _ = build(GOOD)
    assert soup.select_one(".selfcheck-question .math")
    assert soup.select_one("summary em").get_text() == "always"
    assert r"\frac{p}{p + 0}" in soup.select_one(".selfcheck-answer.right div.math").get_text()


def test_text_before_the_options_belongs_to_the_question(build):
    soup, warnings = build(GOOD.replace("density?\n", "density?\nThink of a *coin*.\n\n", 1))
    assert warnings == ""
    assert soup.select_one("section.selfcheck > p > em").get_text() == "coin"


def test_two_questions_have_two_anchors(build):
    soup, warnings = build(GOOD + GOOD.partition("\n\n")[2])
    assert warnings == ""
    names = [section["id"] for section in soup.select("section.selfcheck")]
    assert len(set(names)) == 2


@pytest.mark.parametrize(
    "old, new, complaint",
    [
        ("[x]", "[ ]", "no option is right"),
        ("- [ ] Not", "- [x] Not", '2 options are right; ask "which of these"'),
        ("What is", "Which of these is", '"which of these", and one option is right'),
        ("[ ]", "[x]", "every option is right"),
        ("- [ ] Not defined\n  Only where neither has density.\n", "", "2 options; write three or four"),
        ("  Only where neither has density.\n", "", "no explanation under 'Not defined'"),
        ("  Only where", "Only where", "belongs to no option"),
        ("[ ] Not defined", "[ ]", "an option is empty"),
        ("```{selfcheck} What is $D^*$ where only the data have density?", "```{selfcheck}", "1 argument(s) required"),
    ],
)
def test_a_question_that_teaches_nothing_is_refused(build, old, new, complaint):
    assert old in GOOD
    soup, warnings = build(GOOD.replace(old, new))
    assert complaint in warnings
    assert not soup.select("section.selfcheck")


def test_several_options_may_be_right_if_the_question_says_so(build):
    soup, warnings = build(GOOD.replace("What is", "Which of these are").replace("- [ ] Not", "- [x] Not"))
    assert warnings == ""
    assert len(soup.select(".selfcheck-answer.right")) == 2


def test_korean_text_says_so(build):
    soup, warnings = build("# Page\n\nA model, {ko}`생성 모델`.\n")
    assert warnings == ""
    assert soup.find("span", lang="ko").get_text() == "생성 모델"


# -- the questions of this book --------------------------------------------------------------------

CHAPTERS = [
    "discriminative_generative", "autoencoders", "vae", "gan_theory", "gan_practice", "evaluation", "dcgan",
    "cyclegan", "scaling",
]  # fmt: skip
NOT_TAUGHT = {
    "Aims",
    "What you should know",
    "What summaries get wrong",
    "Common mistakes",
    "Exercises",
    "Summary",
    "Further reading",
}
FENCE = re.compile(r"^(`{3,}|:{3,})(\{[\w:-]+\})?(.*)")


def read(page):
    return (BOOK / f"{page}.md").read_text(encoding="utf-8")


def sections(text):
    """`{title: questions}` of every `##` section; a question is its first line and its options."""
    found, title, fence, body = {}, None, None, []
    for line in text.splitlines():
        mark = FENCE.match(line)
        if fence:
            if line.strip() == fence[1]:
                if fence[2] == "{selfcheck}":
                    found[title].append((fence[3].strip(), selfcheck.read_options(body)[1]))
                fence = None
            else:
                body.append(line)
        elif mark:
            fence, body = mark, []
        elif line.startswith("## "):
            title = line[3:].strip()
            found[title] = []
    return found


def questions():
    return [question for page in CHAPTERS for asked in sections(read(page)).values() for question in asked]


def test_every_chapter_of_the_book_is_looked_at():
    contents = (BOOK.parent / "_toc.yml").read_text(encoding="utf-8")
    part = contents.partition("caption: Chapters")[2].partition("- caption:")[0]
    assert re.findall(r"file: book/(\w+)", part) == CHAPTERS


@pytest.mark.parametrize("page", CHAPTERS)
def test_every_section_that_teaches_asks(page):
    asked = sections(read(page))
    assert set(asked) & NOT_TAUGHT, "the sections were not found"
    assert [title for title in asked if title not in NOT_TAUGHT and not asked[title]] == []
    assert 6 <= sum(map(len, asked.values())) <= 12


@pytest.mark.parametrize("page", CHAPTERS)
def test_every_question_can_be_asked(page):
    for asked in sections(read(page)).values():
        for question, options in asked:
            selfcheck.check_options(question, options)
            assert len(options) <= 4, question
            assert "`" not in question, "a fence of backticks allows none in its first line"
            assert len({option.text for option in options}) == len(options), question


def test_no_two_questions_are_the_same():
    asked = [question for question, _ in questions()]
    assert sorted(set(asked)) == sorted(asked)


def share(fits):
    """Share of the questions with one right option whose options fit."""
    single = [options for _, options in questions() if sum(option.right for option in options) == 1]
    return sum(fits(options) for options in single) / len(single)


def test_the_right_option_is_not_known_by_its_place():
    for place in range(3):
        assert share(lambda options: options[place].right) < 0.5


def test_the_right_option_is_not_known_by_its_length():
    for extreme in (min, max):
        assert share(lambda options: extreme(options, key=lambda option: len(option.text)).right) < 0.5


# -- the glossary ----------------------------------------------------------------------------------

HANGUL = r"[가-힣]"
FORMS = {  # what the chapters call a term, beside its name
    "alternating updates": ["alternating"],
    "amortised inference": ["amortised"],
    "autoregressive model": ["autoregressive"],
    "batch normalisation": ["batch norm"],
    "evidence lower bound": ["ELBO"],
    "generative adversarial network": ["GAN"],
    "instance normalisation": ["instance norm"],
    "Jensen–Shannon divergence": ["JSD"],
    "Kullback–Leibler divergence": ["KL", "KL divergence"],
    "latent variable": ["latent"],
    "least-squares loss": ["least squares"],
    "memorisation": ["memorise", "memorised"],
    "non-saturating loss": ["non-saturating"],
    "Parzen window": ["Parzen"],
    "principal component analysis": ["PCA"],
    "R1 penalty": ["R1"],
    "reparameterisation": ["reparameterise", "reparameterised"],
    "saturating loss": ["saturating"],
    "score-function gradient": ["score-function", "score function"],
    "transposed convolution": ["transposed"],
    "variational autoencoder": ["VAE"],
}
OTHER_SENSE = {  # (term, chapter): what the word means where it stands there without a link
    ("code", "discriminative_generative"): "lines of a program",
    ("code", "gan_theory"): "lines of a program",
    ("code", "gan_practice"): "lines of a program, before an image's code",
    ("code", "evaluation"): "lines of a program, before a VAE's codes",
    ("code", "dcgan"): "lines of a program",
    ("code", "cyclegan"): "lines of a program, and the marks that D shall give",
    ("code", "scaling"): "lines of a program",
    ("evidence", "discriminative_generative"): "what speaks for a class",
    ("generator", "scaling"): "of random numbers",
    ("score", "discriminative_generative"): "points in a bet",
    ("score", "evaluation"): "a mark for a model",
    ("score", "cyclegan"): "the plain number that D gives",
}
TERM = r"\{term\}`(?P<link>[^`]+)`"


def entries():
    """`{English term: (Korean term, definition)}`."""
    body = read("glossary").partition("```{glossary}\n:sorted:\n")[2].rpartition("\n```")[0]
    found = {}
    for entry in body.strip().split("\n\n"):
        english, korean, *definition = entry.splitlines()
        found[english] = (korean, "\n".join(definition))
    return found


def test_every_term_has_a_korean_one():
    assert len(entries()) >= 70
    strange = {term: korean for term, (korean, _) in entries().items() if not re.fullmatch(r"\{ko\}`[^`]+`", korean)}
    assert strange == {}
    assert [term for term, (korean, _) in entries().items() if not re.search(HANGUL, korean)] == []


def test_no_two_terms_share_a_korean_one():
    korean = [korean for korean, _ in entries().values()]
    assert sorted(set(korean)) == sorted(korean)


def test_every_definition_links_to_a_section():
    link = re.compile(r"See (the )?\[[^]]+\]\((\w+)\.md#[\w-]+\)")
    unlinked = [term for term, (_, text) in entries().items() if not link.search(text)]
    assert unlinked == []
    pages = {page for _, text in entries().values() for page in re.findall(r"\((\w+)\.md#", text)}
    assert pages == set(CHAPTERS)


def target(link):
    """The term that a link leads to: `term`, or `other words <term>`."""
    return link.partition("<")[2].rstrip(">") or link


def linked(text):
    return [target(mention["link"]) for mention in re.finditer(TERM, text)]


def spellings():
    """`{word or words in lower case: term}`, with plurals."""
    return {
        spelled.lower(): term
        for term in entries()
        for form in (term, *FORMS.get(term, []))
        for spelled in (form, form + "s", form + "es", re.sub("y$", "ies", form))
    }


def prose(page):
    """`{title: running prose}` of every `##` section: no formulas, headings or tables; of the fences only theorems and proofs."""
    found, title, fences = {"": ""}, "", []
    for line in re.sub(r"\$\$.*?\$\$", "", read(page), flags=re.DOTALL).splitlines():
        mark = FENCE.match(line.strip())
        if fences and line.strip() == fences[-1][1]:
            fences.pop()
        elif mark:
            fences.append(mark)
        elif line.startswith("## "):
            title = line[3:].strip()
            found[title] = ""
        elif not re.match(r"[#|:]|\(\S+\)=$", line) and all((fence[2] or "").startswith("{prf:") for fence in fences):
            found[title] += line + "\n"
    assert not fences, page
    return found


def unlinked(page):
    """`{term: where}` of the terms whose first use after the aims is no link."""
    terms = spellings()
    words = "|".join(map(re.escape, sorted(terms, key=len, reverse=True)))
    aside = r"(?:\{[\w:]+\})?`[^`\n]*`|\$[^$\n]*\$|\[[^]\n]*\]\([^)\n]*\)"
    mention = re.compile(rf"{TERM}|{aside}|\b(?P<plain>{words})\b", re.IGNORECASE)
    text = prose(page)
    first = dict.fromkeys(linked(text.pop("") + text.pop("What you should know")), "")
    body = "".join(part for title, part in text.items() if title not in ("Aims", "Further reading"))
    for found in mention.finditer(body):
        if found["link"]:
            first.setdefault(target(found["link"]), "")
        elif found["plain"]:
            around = body[max(found.start() - 40, 0) : found.end() + 40]
            first.setdefault(terms[found["plain"].lower()], around)
    return {term: where for term, where in first.items() if where}


def test_every_term_is_linked_from_a_chapter():
    assert {term for page in CHAPTERS for term in linked(read(page))} == set(entries())


@pytest.mark.parametrize("page", CHAPTERS)
def test_the_first_use_of_a_term_in_a_chapter_is_a_link(page):
    bare = unlinked(page)
    assert {term: where for term, where in bare.items() if (term, page) not in OTHER_SENSE} == {}
    assert {term for term, chapter in OTHER_SENSE if chapter == page} - set(bare) == set(), "no exception needed"


@pytest.mark.parametrize("page", CHAPTERS)
def test_no_chapter_links_a_term_twice(page):
    links = linked(read(page))
    assert {term for term in links if links.count(term) > 1} == set()


def test_the_other_names_and_senses_are_of_terms_and_chapters():
    assert set(FORMS) | {term for term, _ in OTHER_SENSE} <= set(entries())
    assert {page for _, page in OTHER_SENSE} <= set(CHAPTERS)


def test_no_heading_is_a_link_to_the_glossary():
    headings = [line for page in CHAPTERS for line in read(page).splitlines() if line.startswith("#")]
    assert [heading for heading in headings if "{term}" in heading] == []
