import subprocess
import sys


def test_importing_data_does_not_import_what_it_rarely_needs():
    code = "import coursekit.data, sys; print([m for m in ('sklearn', 'pooch', 'requests', 'matplotlib', 'scipy') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
