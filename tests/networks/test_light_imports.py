import subprocess
import sys


def test_losses_networks_and_theory_load_no_plotting_and_no_scikit_learn():
    program = (
        "import sys, coursekit.losses, coursekit.networks, coursekit.theory\n"
        "print(*{'matplotlib', 'sklearn', 'scipy', 'torchvision'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
