"""The house: dependencies, floors, what importing costs, and documents that agree with each other."""

import ast
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import coursekit

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


NOT_PROSE = (".png", ".lock", ".safetensors", ".onnx")


def tracked_files():
    """Files that are, or are about to be, committed."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


# -- dependencies ----------------------------------------------------------------------------------


def declared(*extras):
    texts = list(PROJECT["dependencies"])
    for extra in extras or PROJECT["optional-dependencies"]:
        texts += PROJECT["optional-dependencies"][extra]
    return [Requirement(text) for text in texts]


def locked():
    """`{name: [(version, marker or None)]}` of the lock file."""
    pins = {}
    for line in LOCK.splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)==([^\s;\\]+)(?:\s*;\s*([^\\]+))?", line):
            marker = Requirement(f"x; {match[3].strip()}").marker if match[3] else None
            pins.setdefault(canonicalize_name(match[1]), []).append((Version(match[2]), marker))
    return pins


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_lock_pins_every_declared_requirement(python):
    environment = {**default_environment(), "python_version": python, "python_full_version": f"{python}.0"}
    pins, unmet = locked(), []
    for requirement in declared():
        if requirement.marker and not requirement.marker.evaluate(environment):
            continue
        chosen = [
            version
            for version, marker in pins.get(canonicalize_name(requirement.name), [])
            if marker is None or marker.evaluate(environment)
        ]
        if len(chosen) != 1 or not requirement.specifier.contains(chosen[0], prereleases=True):
            unmet.append(f"{requirement}: {[str(version) for version in chosen]}")
    assert unmet == [], "run `make lock`"


def test_every_pin_has_a_hash_and_the_lock_names_no_address():
    blocks = re.split(r"\n(?=[A-Za-z0-9])", LOCK)
    assert [block.splitlines()[0] for block in blocks if "==" in block and "--hash=sha256:" not in block] == []
    assert re.findall(r"https?:|--(?:extra-)?index-url|--find-links|file:", LOCK + read("package-lock.json")) == []
    assert '"resolved"' not in read("tests/site/tools/package-lock.json")


def test_there_are_no_upper_pins_but_jupyter_books():
    pinned = [str(r) for r in declared() if any(s.operator in ("<", "<=", "==", "~=") for s in r.specifier)]
    assert [name for name in pinned if not name.startswith("jupyter-book")] == []


def test_environment_yml_equals_pyproject():
    environment = yaml.safe_load(read("environment.yml"))
    python, pip, through_pip = environment["dependencies"]
    assert python == f"python{PROJECT['requires-python']}"
    assert pip == "pip"
    assert through_pip == {"pip": ["-e .[book,test,export]"]}
    assert {"book", "test", "export"} <= set(PROJECT["optional-dependencies"])


def third_party_imports(folder):
    names = {}
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module]
            else:
                continue
            for module in modules:
                top = module.split(".")[0]
                if top not in sys.stdlib_module_names and top != "coursekit":
                    names.setdefault(top, path.relative_to(ROOT).as_posix())
    return names


def test_everything_the_package_imports_is_a_declared_core_dependency():
    distribution = {"sklearn": "scikit-learn", "lightning_fabric": "lightning-fabric", "PIL": "pillow"}
    core = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    imported = third_party_imports("coursekit")
    of_export = {Requirement(text).name for text in PROJECT["optional-dependencies"]["export"]}
    assert {imported.pop(name) for name in of_export} == {
        "coursekit/export.py"
    }  # which says so when they are not there
    assert imported.pop("google") == "coursekit/exercises/colab.py"  # google.colab, which is there on Colab alone
    assert {name: path for name, path in imported.items() if distribution.get(name, name) not in core} == {}


# -- floors ------------------------------------------------------------------------------------------

FLOORS = [
    {"errors"},
    {"losses", "theory", "networks", "data", "checkpoints"},
    {"metrics", "trainers"},
    {"plots", "evaluation", "museum", "exercises", "doctor", "roofline", "export"},
    {"grading"},
    {"cli", "__main__"},
]
FLOOR = {name: height for height, names in enumerate(FLOORS) for name in names}


def coursekit_imports():
    """`(file, part that imports, part that is imported)`."""
    for path in sorted((ROOT / "coursekit").rglob("*.py")):
        inside = path.relative_to(ROOT / "coursekit").with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{path}: a relative import"
                modules = [
                    f"{node.module}.{alias.name}" if node.module == "coursekit" else node.module for alias in node.names
                ]
            else:
                continue
            for module in modules:
                if module.startswith("coursekit."):
                    yield path.name, inside, module.split(".")[1]


def test_every_part_of_the_package_has_a_floor():
    parts = {
        path.stem for path in (ROOT / "coursekit").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert parts - set(FLOOR) - {"__init__"} == set()


def test_no_import_goes_up():
    up = [
        (file, importer, imported)
        for file, importer, imported in coursekit_imports()
        if importer != "__init__" and importer != imported and FLOOR[imported] > FLOOR[importer]
    ]
    assert up == []


def test_contributing_names_the_floors_that_are_tested():
    (line,) = re.findall(r"^- Imports go down the floors only: (.+)\.$", read("CONTRIBUTING.md"), re.MULTILINE)
    named = [set(floor.split(", ")) for floor in line.split("; then ")]
    assert named == [*FLOORS[:-1], {"the command line"}]


def test_nothing_imports_grading_but_the_command_line():
    assert {importer for _, importer, imported in coursekit_imports() if imported == "grading"} <= {"cli", "grading"}


HEAVY = ("torch", "numpy", "matplotlib", "sklearn", "lightning_fabric", "pooch", "requests", "click", "tqdm")


@pytest.mark.parametrize("module", ["coursekit", "coursekit.cli"])
def test_importing_loads_nothing_heavy(module):
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ("[]" if module == "coursekit" else "['click']")


# -- documents ---------------------------------------------------------------------------------------


def test_every_error_and_warning_is_explained_in_troubleshooting():
    names = re.findall(r"^class (\w+)", read("coursekit/errors.py"), re.MULTILINE)
    assert len(names) >= 8
    page = read("book/troubleshooting.md")
    assert [name for name in names if name != "CoursekitError" and f"`{name}`" not in page] == []


def chapters():
    """`(page, lesson)` in the order of `_toc.yml`."""
    toc = yaml.safe_load(read("_toc.yml"))
    for part in toc["parts"]:
        for chapter in part["chapters"]:
            for section in chapter.get("sections", []):
                if not section["file"].startswith("notebooks/exercises/"):
                    yield chapter["file"], section["file"]


def test_readme_lists_the_chapters_of_the_book_in_order():
    rows = re.findall(
        r"^\| \[[^\]]+\]\((book/\w+)\.md\) \| \[notebook\]\((notebooks/\w+)\.ipynb\)", read("README.md"), re.MULTILINE
    )
    assert rows == list(chapters())
    assert rows


def test_every_file_of_the_toc_is_there():
    toc = yaml.safe_load(read("_toc.yml"))
    names = [toc["root"], *(name for chapter in chapters() for name in chapter)]
    names += [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    assert [name for name in names if not any((ROOT / f"{name}{end}").exists() for end in (".md", ".ipynb"))] == []


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_links_and_images_of_the_front_documents_resolve(document):
    targets = re.findall(r"\]\(([^)\s]+)\)|<img[^>]*src=\"([^\"]+)\"", read(document))
    local = [a or b for a, b in targets if not (a or b).startswith(("http:", "https:", "#"))]
    assert [target for target in local if not (ROOT / target.split("#")[0]).exists()] == []


def test_the_readmes_program_runs(tmp_path):
    program = re.search(r"^```python\n(.*?)^```", read("README.md"), re.MULTILINE | re.DOTALL)[1]
    environment = {**os.environ, "COURSEKIT_DATA": str(tmp_path), "COURSEKIT_OFFLINE": "1"}
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "samples.png").read_bytes().startswith(b"\x89PNG")


def targets():
    return set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))


def named_targets(document):
    return set(re.findall(r"(?:^|`|run: |COURSEKIT_DATA )make ([a-z-]+)", read(document), re.MULTILINE))


WORKFLOWS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / ".github" / "workflows").iterdir())
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "book").glob("*.md"))


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", ".ci/run", *WORKFLOWS])
def test_make_targets_that_are_named_exist(document):
    named = named_targets(document)
    assert named and named <= targets()


def test_make_targets_that_the_book_names_exist():
    named = {page: named_targets(page) for page in PAGES}
    assert {page: names - targets() for page, names in named.items() if names - targets()} == {}
    assert {"book/index.md", "book/instructors.md", "book/scaling.md", "book/troubleshooting.md"} <= {
        page for page, names in named.items() if names
    }


def test_the_changelog_starts_with_the_current_version():
    versions = re.findall(r"^## (\S+)", read("CHANGELOG.md"), re.MULTILINE)
    assert versions[0] == PROJECT["version"]


def public_names(module):
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    return getattr(module, "__all__", [name for name in own if not name.startswith("_")])


def test_the_api_page_shows_every_public_name():
    documented = [import_module(name) for name in re.findall(r"automodule:: (\S+)", read("book/api.md"))]
    shown = {id(getattr(module, name)) for module in documented for name in public_names(module)}
    names = [info.name for info in pkgutil.walk_packages(coursekit.__path__, "coursekit.")]
    modules = [coursekit, *(import_module(name) for name in names if name != "coursekit.__main__")]
    promised = [
        (module, name) for module in modules for name in getattr(module, "__all__", []) if name != "__version__"
    ]
    hidden = [
        f"{module.__name__}.{name}"
        for module, name in promised
        if not isinstance(getattr(module, name), ModuleType) and id(getattr(module, name)) not in shown
    ]
    assert shown and hidden == []


def test_every_module_of_one_file_on_the_api_page_is_an_attribute_of_the_package():
    shown = re.findall(r"automodule:: coursekit\.(\w+)$", read("book/api.md"), re.MULTILINE)
    submodules = set(coursekit.__all__) - {"__version__"}
    assert {name for name in shown if (ROOT / "coursekit" / f"{name}.py").exists()} == {
        name for name in submodules if (ROOT / "coursekit" / f"{name}.py").exists()
    }
    assert set(shown) <= submodules


# -- workflows ---------------------------------------------------------------------------------------


def steps(workflow, job):
    return [
        step.get("run", "") for step in yaml.safe_load(read(f".github/workflows/{workflow}.yml"))["jobs"][job]["steps"]
    ]


def test_workflows_run_the_targets_that_ci_runs():
    # Indented there: the notebooks once more, without data.
    ours = re.findall(r"^make [a-z-]+$", read(".ci/run"), re.MULTILINE)
    assert [step for step in steps("tests", "tests") if step.startswith("make ")] == ours
    assert {"make lint", "make book", "make test"} <= set(ours)
    assert "make book" in steps("pages", "pages")


def test_pages_are_published_with_their_pdfs():
    ran = steps("pages", "pages")
    assert ran.index("make book") < ran.index("make pdf")


@pytest.mark.parametrize(("workflow", "target"), [("colab", "make colab"), ("site", "make check-site")])
def test_what_takes_too_long_for_every_push_is_repeated_every_week(workflow, target):
    # YAML 1.1 reads the key `on` as True.
    (when,) = yaml.safe_load(read(f".github/workflows/{workflow}.yml"))[True]["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", when["cron"])
    assert steps(workflow, workflow)[-1] == target


def test_the_public_workflow_tests_every_supported_python():
    matrix = yaml.safe_load(read(".github/workflows/tests.yml"))["jobs"]["tests"]["strategy"]["matrix"]["python"]
    assert matrix == ["3.11", "3.12", "3.13"]
    assert PROJECT["requires-python"] == f">={matrix[0]}"


def test_ci_needs_no_standard_input_and_can_be_run():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    result = subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


# -- what must not be committed ----------------------------------------------------------------------

PRIVATE = re.compile(
    r"(?<![\w.])/(?:work|root|home/\w+|tmp/work)/|files\.pythonhosted|registry\.npmjs|pypi\.org/simple|deb\.debian\.org"
)


def test_no_file_names_a_private_path_or_a_registry():
    here = Path(__file__).resolve()
    found = {}
    for path in tracked_files():
        if path.suffix in NOT_PROSE or path == here:
            continue
        if match := PRIVATE.search(path.read_text(encoding="utf-8")):
            found[path.relative_to(ROOT).as_posix()] = match[0]
    assert found == {}


def test_the_folder_beside_the_checkout_is_named_by_ci_alone():
    named = [
        path.relative_to(ROOT).as_posix()
        for path in tracked_files()
        if path.suffix not in NOT_PROSE
        and path != Path(__file__).resolve()
        and "../shared" in path.read_text(encoding="utf-8")
    ]
    assert set(named) <= {".ci/run"}


def test_no_committed_file_is_large():
    large = {path.name: path.stat().st_size for path in tracked_files() if path.stat().st_size > 1_500_000}
    assert large == {}
