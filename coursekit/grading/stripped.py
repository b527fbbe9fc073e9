"""The copy of coursekit that a sandbox sees: without answers, hidden cases and training.

- ``coursekit.grading``, but for the worker and its wire, and the chapters of ``coursekit.exercises``, which hold wrong
  answers, are left out; a stand-in takes the place of ``coursekit.exercises`` (`coursekit.grading.inside.exercises`).
- The bodies of the assignment's ``implementations`` are replaced by a raise, in the syntax tree, so that no decorator,
  alias or re-export leads to them.
- ``Trainer.fit`` does nothing: what was trained is handed in, and nothing is trained again.

A copy is made once for each set of implementations and process, compiled, and removed when the process ends; what a
killed process has left is removed by the next one.
"""

import ast
import atexit
import compileall
import os
import py_compile
import shutil
import threading
from hashlib import sha256
from pathlib import Path

from coursekit.grading.folders import Folder, sweep

__all__ = ["digest_of", "make_tree", "without"]

PACKAGE = Path(__file__).resolve().parents[1]
INSIDE = Path(__file__).resolve().parent / "inside"
WORKER = ("wire.py", "inside/__init__.py", "inside/confine.py", "inside/reference.py", "inside/worker.py")
LEFT_OUT = ("grading", "exercises", "cli.py", "__main__.py", "doctor.py")
REFERENCE = "__import__('coursekit.grading.inside.reference', fromlist=['called'])"
FIT = "coursekit.trainers.base.Trainer.fit"
PASSWD = "student:x:1000:1000::/home/student:/bin/false\n"
GROUP = "student:x:1000:\n"
_LOCK = threading.Lock()
_MADE = {}


def make_tree(implementations=()):
    """Folder with what a sandbox imports: ``coursekit``, stripped, and the worker.

    Parameters
    ----------
    implementations : sequence of str
        Dotted names of functions, methods or classes of coursekit. A re-export is followed to its definition.

    Returns
    -------
    Path
        Readable by everybody, to be left unchanged.

    Raises
    ------
    ValueError
        A name that coursekit does not define.
    """
    digest = digest_of(implementations)
    with _LOCK:
        kept = _MADE.get(digest)
        if kept is None or kept[1] != os.getpid() or not os.path.isdir(kept[0]):
            if not any(process == os.getpid() for _, process in _MADE.values()):
                sweep()
            folder = Folder("inside")
            atexit.register(_remove, folder, os.getpid())
            _write(Path(folder), tuple(implementations))
            _MADE[digest] = folder, os.getpid()
        return Path(_MADE[digest][0])


def digest_of(implementations=()):
    """SHA-256 of everything that a tree is made from."""
    digest = sha256(repr(sorted(set(implementations))).encode())
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.is_relative_to(INSIDE) or path.name in ("wire.py", "subject.py") or not _is_left_out(path):
            digest.update(str(path.relative_to(PACKAGE)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _remove(folder, process):
    if os.getpid() == process:
        folder.remove()


def _is_left_out(path):
    return path.relative_to(PACKAGE).parts[0] in LEFT_OUT


def _write(folder, implementations):
    bodies = {}
    for name in implementations:
        module, inner = locate(name)
        bodies.setdefault(module, {})[inner] = f"{REFERENCE}.called({name!r})"
    module, inner = locate(FIT)
    bodies.setdefault(module, {})[inner] = f"self.history = self.validation_history = {REFERENCE}.Blank()\nreturn self"
    package = folder / "coursekit"
    for path in sorted(PACKAGE.rglob("*")):
        if _is_left_out(path) or path.is_dir() or path.suffix == ".pyc":
            continue
        copy = package / path.relative_to(PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path in bodies:
            copy.write_text(without(path.read_text(encoding="utf-8"), bodies[path]), encoding="utf-8")
        else:
            shutil.copyfile(path, copy)
    (package / "exercises").mkdir()
    shutil.copyfile(INSIDE / "exercises.py", package / "exercises" / "__init__.py")
    shutil.copyfile(PACKAGE / "exercises" / "subject.py", package / "exercises" / "subject.py")
    (package / "grading" / "inside").mkdir(parents=True)
    for name in WORKER:
        shutil.copyfile(PACKAGE / "grading" / name, package / "grading" / name)
    (folder / "passwd").write_text(PASSWD, encoding="ascii")
    (folder / "group").write_text(GROUP, encoding="ascii")
    (package / "grading" / "__init__.py").touch()
    (folder / "stage").mkdir()
    compileall.compile_dir(folder, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def locate(name):
    """`(file, name within it)` of a dotted name, through re-exports.

    Raises
    ------
    ValueError
        Where coursekit does not define it.
    """
    parts = name.split(".")
    for split in range(len(parts) - 1, 0, -1):
        base = PACKAGE.joinpath(*parts[1:split])
        path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
        if parts[0] != "coursekit" or not path.is_file():
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inner = parts[split:]
        if _find(tree, inner):
            return path, ".".join(inner)
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("coursekit"):
                for alias in node.names:
                    if (alias.asname or alias.name) == inner[0]:
                        return locate(".".join([node.module, alias.name, *inner[1:]]))
        break
    raise ValueError(f"coursekit defines no {name}")


def _find(node, names):
    """The definition at this path of names, or None."""
    for name in names:
        found = [
            child
            for child in node.body
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and child.name == name
        ]
        if not found:
            return None
        node = found[-1]
    return node


def without(source, bodies):
    """Source with other bodies.

    Parameters
    ----------
    source : str
    bodies : dict of str to str
        Dotted name within the source, of a function, method or class, to the statements that replace its body. A
        class gets them as the body of every method, and of an ``__init__`` if it has none.

    Returns
    -------
    str
    """
    tree = ast.parse(source)
    for name, body in bodies.items():
        node = _find(tree, name.split("."))
        if node is None:
            raise ValueError(f"no {name} to replace")
        if isinstance(node, ast.ClassDef):
            methods = [child for child in node.body if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))]
            if not any(method.name == "__init__" for method in methods):
                methods.append(ast.parse("def __init__(self, *args, **kwargs): pass").body[0])
                node.body.append(methods[-1])
        else:
            methods = [node]
        for method in methods:
            method.body = ast.parse(body).body
            method.decorator_list = [
                decorator
                for decorator in method.decorator_list
                if isinstance(decorator, ast.Name) and decorator.id in ("staticmethod", "classmethod", "property")
            ]
    return ast.unparse(ast.fix_missing_locations(tree))
