"""Numbers of a student's own, drawn from the student's id."""

import hashlib
import re
import unicodedata

import numpy as np

PLACEHOLDER = "your-id"  # in a notebook, until its student writes another
_ID = re.compile(r"[\w.@+-]{1,64}")


def student_id(text):
    """The id as it counts: without spaces around it, in small letters.

    Raises
    ------
    ValueError
        Not a text, empty, longer than 64 characters, or with other characters than letters, digits and ``. _ @ + -``.
    """
    if not isinstance(text, str):
        raise ValueError(f'the id is a text in quotation marks, such as "jdoe", not {text!r}')
    name = unicodedata.normalize("NFC", text).strip().casefold()
    if not _ID.fullmatch(name) or not name.strip("."):
        raise ValueError(f"the id is 1 to 64 letters, digits or . _ @ + - without spaces, not {text!r}")
    return name


def draw(assignment, student, numbers):
    """`numbers(rng)` with a generator seeded by assignment and student.

    Parameters
    ----------
    assignment : str
        Its short name.
    student : str
        Any form of the id that `student_id` takes.
    numbers : callable
        ``numpy.random.Generator`` to dict of str to int or float. It should draw with ``integers``, ``uniform`` or
        ``random`` only, whose streams have stayed the same over NumPy's versions.

    Returns
    -------
    dict of str to int or float
    """
    seed = hashlib.sha256(f"{assignment}/{student_id(student)}".encode()).digest()
    drawn = numbers(np.random.default_rng(int.from_bytes(seed, "big")))
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in drawn.items()}
