"""book/_ext/accessible.py: names of arrows, roles of entries."""

import accessible
from bs4 import BeautifulSoup

TREE = """<ul>
<li class="toctree-l1 has-children"><a class="reference internal" href="vae.html">The "VAE" &amp; more</a>
<details><summary><span class="toctree-toggle" role="presentation"><i></i></span></summary><ul></ul></details></li>
<li class="toctree-l1 current active has-children"><a class="current reference internal" href="#">Theory of <em>GANs</em></a>
<details open="open"><summary><span></span></summary></details></li>
<li class="toctree-l1"><a class="reference internal" href="api.html">API</a></li>
</ul><details><summary>Has words</summary></details>"""


def names(markup):
    return [node.get("aria-label") for node in BeautifulSoup(markup, "html.parser").find_all("summary")]


def test_each_arrow_is_named_after_the_page_it_unfolds():
    assert names(accessible.with_names(TREE)) == ['Pages under The "VAE" & more', "Pages under Theory of GANs", None]


def test_the_theme_s_own_function_is_wrapped_with_all_it_is_asked():
    context = {"generate_toctree_html": lambda kind, startdepth=0: TREE if (kind, startdepth) == ("sidebar", 1) else ""}
    accessible.name_arrows(None, "page", "page.html", context, None)
    assert names(context["generate_toctree_html"]("sidebar", startdepth=1))[0] == 'Pages under The "VAE" & more'


def test_a_theme_without_such_a_function_is_left_alone():
    context = {}
    accessible.name_arrows(None, "page", "page.html", context, None)
    assert context == {}


def test_an_entry_of_the_bibliography_is_an_item_of_its_list():
    context = {"body": '<div role="list" class="citation-list"><div role="doc-biblioentry">Paper</div></div>'}
    accessible.modernise_roles(None, "page", "page.html", context, None)
    assert context["body"] == '<div role="list" class="citation-list"><div role="listitem">Paper</div></div>'
    accessible.modernise_roles(None, "search", "search.html", {}, None)
