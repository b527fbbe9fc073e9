"""Pictures on a page wait for it, and keep their places free."""

import pytest
from bs4 import BeautifulSoup
from PIL import Image

CHAPTER = """# Chapter

![one](one.png)

![two](folder/two.png)

```{image} three.png
:width: 50%
```

![elsewhere](https://example.org/four.png)

```{raw} html
<img src="data:image/png;base64,iVBORw0KGgo=">
```
"""


@pytest.fixture
def images(sphinx_build, tmp_path):
    source, out = tmp_path / "source", tmp_path / "html"
    (source / "part" / "folder").mkdir(parents=True)
    (source / "index.md").write_text("# Book\n\n```{toctree}\npart/chapter\n```\n")
    (source / "part" / "chapter.md").write_text(CHAPTER)
    for name, size in {"one": (30, 20), "folder/two": (7, 5), "three": (40, 90)}.items():
        Image.new("L", size).save(source / "part" / f"{name}.png")
    (source / "conf.py").write_text("")
    sphinx_build(source, out, {"extensions": ["myst_parser", "pictures"], "root_doc": "index"})
    return BeautifulSoup((out / "part" / "chapter.html").read_text(), "html.parser").select("img")


def test_a_picture_has_its_own_size(images):
    sizes = [(image.get("width"), image.get("height")) for image in images]
    assert sizes == [("30", "20"), ("7", "5"), ("40", "90"), (None, None), (None, None)]


def test_all_but_the_first_wait(images):
    assert [image.get("loading") for image in images] == [None, "lazy", "lazy", None, None]


def test_a_width_that_the_author_chose_stays(images):
    assert images[2]["style"].replace(" ", "") == "width:50%;"
