"""Self-check questions, `{selfcheck}`, and Korean words, `{ko}`.

A question stands in the page with its options. Each option opens by itself and says why it is right, or which
misunderstanding leads there. The page needs no script for that: an option is an HTML `<details>`.

    ```{selfcheck} What is $D^*$ where only the data have density?
    - [ ] ½
      That is where the two densities are equal.
    - [x] 1
      Every $x$ from there is real.
    - [ ] It is not defined.
      That is so where *neither* has density.
    ```

Text between the first line and the first option belongs to the question. One option is right, and several if
the question says "which of these".
"""

import re
from dataclasses import dataclass, field

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective, SphinxRole

OPTION = re.compile(r"- \[([ xX])\](?:\s+(.*))?$")
WORDS = {"label": "Check yourself", "right": "Right.", "wrong": "Not quite."}


class selfcheck(nodes.General, nodes.Element):
    """A question with its options."""


class selfcheck_question(nodes.General, nodes.TextElement):
    """The question, in one line."""


class selfcheck_option(nodes.Part, nodes.Element):
    """A choice and its answer."""


class selfcheck_choice(nodes.Part, nodes.TextElement):
    """What can be chosen."""


class selfcheck_answer(nodes.Part, nodes.Element):
    """Why it is right, or which misunderstanding leads there."""


class SelfCheckError(ValueError):
    """A question that cannot be asked."""


@dataclass
class Option:
    """One option as written: its text, whether it is right, its explanation, and the line each begins in."""

    right: bool
    text: str
    line: int
    explanation: list[str] = field(default_factory=list)


def read_options(lines):
    """The lines before the first option, and the options.

    >>> before, options = read_options(["- [x] Yes", "  It is."])
    >>> options[0].text, options[0].explanation
    ('Yes', ['It is.'])
    """
    before, options = [], []
    for number, line in enumerate(lines):
        if found := OPTION.match(line):
            options.append(Option(found[1] != " ", (found[2] or "").strip(), number))
        elif not options:
            before.append(line)
        elif line.strip() and not line.startswith("  "):
            raise SelfCheckError(f"{line!r} belongs to no option: indent an explanation by two spaces")
        else:
            options[-1].explanation.append(line[2:])
    return before, options


def check_options(question, options):
    """Raise `SelfCheckError` unless a reader can choose, and learns something from every choice."""
    if len(options) < 3:
        raise SelfCheckError(f"{len(options)} options; write three or four")
    for option in options:
        if not option.text:
            raise SelfCheckError("an option is empty")
        if not any(map(str.strip, option.explanation)):
            raise SelfCheckError(f"no explanation under {option.text!r}")
    right = sum(option.right for option in options)
    if right == 0:
        raise SelfCheckError("no option is right")
    if right == len(options):
        raise SelfCheckError("every option is right")
    several = "which of these" in question.lower()
    if several and right == 1:
        raise SelfCheckError('"which of these", and one option is right')
    if not several and right > 1:
        raise SelfCheckError(f'{right} options are right; ask "which of these"')


class SelfCheck(SphinxDirective):
    """A question, `- [ ]` wrong and `- [x]` right options, and an explanation under each."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self):
        question = self.arguments[0]
        try:
            before, options = read_options(self.content)
            check_options(question, options)
        except SelfCheckError as error:
            return [self.state.document.reporter.error(f"selfcheck {question!r}: {error}", line=self.lineno)]
        node = selfcheck(ids=[f"selfcheck-{self.env.new_serialno('selfcheck')}"])
        self.set_source_info(node)
        node += self._inline(selfcheck_question, question, 0)
        self._parse(before, 0, node)
        for option in options:
            answer = selfcheck_answer(right=option.right)
            self._parse(option.explanation, option.line + 1, answer)
            choice = self._inline(selfcheck_choice, option.text, option.line)
            node += selfcheck_option("", choice, answer)
        return [node]

    def _inline(self, kind, text, line):
        parsed, messages = self.parse_inline(text, lineno=self.lineno + self.content_offset + line)
        node = kind(text, "", *parsed, *messages)
        self.set_source_info(node)
        return node

    def _parse(self, lines, offset, node):
        if any(map(str.strip, lines)):
            self.state.nested_parse(StringList(lines), self.content_offset + offset, node)


class KoreanRole(SphinxRole):
    """Korean text, so marked for browsers and screen readers: `<span lang="ko">`."""

    def run(self):
        return [nodes.inline(self.rawtext, self.text, classes=["language-ko"])], []


# -- HTML ------------------------------------------------------------------------------------------


def visit_selfcheck(writer, node):
    name = node["ids"][0]
    writer.body.append(f'<section class="selfcheck" id="{name}" role="group" aria-labelledby="{name}-question">\n')
    writer.body.append(f'<p class="selfcheck-label">{writer.config.selfcheck_words["label"]}</p>\n')


def depart_selfcheck(writer, node):
    writer.body.append("</section>\n")


def visit_question(writer, node):
    writer.body.append(f'<p class="selfcheck-question" id="{node.parent["ids"][0]}-question">')


def depart_question(writer, node):
    writer.body.append("</p>\n")


def visit_option(writer, node):
    writer.body.append("<details>")


def depart_option(writer, node):
    writer.body.append("</details>\n")


def visit_choice(writer, node):
    # The number is for those who hear the page: a formula alone is no name that every reader of screens finds.
    number = 1 + [option for option in node.parent.parent if isinstance(option, selfcheck_option)].index(node.parent)
    writer.body.append(
        f'<summary><span class="visually-hidden">Answer {number}: </span><span class="selfcheck-choice">'
    )


def depart_choice(writer, node):
    writer.body.append("</span></summary>\n")


def visit_answer(writer, node):
    verdict = "right" if node["right"] else "wrong"
    words = writer.config.selfcheck_words[verdict]
    writer.body.append(f'<div class="selfcheck-answer {verdict}"><strong class="selfcheck-verdict">{words}</strong> ')


def depart_answer(writer, node):
    writer.body.append("</div>")


def setup(app):
    app.add_config_value("selfcheck_words", WORDS, "env")
    app.add_node(selfcheck, html=(visit_selfcheck, depart_selfcheck))
    app.add_node(selfcheck_question, html=(visit_question, depart_question))
    app.add_node(selfcheck_option, html=(visit_option, depart_option))
    app.add_node(selfcheck_choice, html=(visit_choice, depart_choice))
    app.add_node(selfcheck_answer, html=(visit_answer, depart_answer))
    app.add_directive("selfcheck", SelfCheck)
    app.add_role("ko", KoreanRole())
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
