"""Pictures are fetched once their page has loaded, or before if a reader comes near; their places are kept free."""

import re
from itertools import chain, repeat
from pathlib import Path
from urllib.parse import unquote, urljoin

import imagesize

IMAGE = re.compile(r'<img\b(?P<attributes>[^>]*?\bsrc="(?P<source>[^":]+)"[^>]*?)(?P<end>\s*/?>)')
# Paper does not wait until a reader comes near.
ALL = """addEventListener("load", () => {
    for (const picture of document.querySelectorAll("img[loading=lazy]")) picture.loading = "eager";
});"""


def wait(app, pagename, templatename, context, doctree):
    """Let all pictures of a page wait for it but the first, which may be in sight at once."""
    if not context.get("body"):
        return
    page = app.builder.get_target_uri(pagename)
    places = {f"{app.builder.imagedir}/{name}": Path(app.srcdir, image) for image, name in app.builder.images.items()}
    loading = chain([""], repeat(' loading="lazy"'))

    def place(match):
        source = unquote(urljoin(page, match["source"]))
        if source not in places or "height=" in match["attributes"]:
            return match[0]
        width, height = imagesize.get(places[source])
        return f'<img{match["attributes"]} width="{width}" height="{height}"{next(loading)}{match["end"]}'

    context["body"] = IMAGE.sub(place, context["body"])


def setup(app):
    app.add_js_file(None, body=ALL)
    app.connect("html-page-context", wait, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
