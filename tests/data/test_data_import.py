import subprocess
import sys

CODE = """
import sys
import coursekit.data
print([name for name in ("sklearn", "pooch", "requests", "matplotlib", "scipy") if name in sys.modules])
"""


def test_importing_data_does_not_import_what_it_rarely_needs():
    shown = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
