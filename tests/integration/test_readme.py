"""The README's Python caller does what the README says. (Its Node.js caller is in test_node.py.)"""

import os
import subprocess

from readme import ROOT, example
from real_origins import Nginx, refusing_port
from server_process import Fetchd


def run_example(fetchd: Fetchd, url: str) -> str:
    """What the example prints."""
    environment = {**os.environ, "PYTHONPATH": os.environ["FETCHD_PYTHON_STUBS"], "no_grpc_proxy": "127.0.0.1"}
    command = ["/usr/bin/python3", "-c", example("python", fetchd.target, url)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_example_prints_a_response(fetchd: Fetchd, nginx: Nginx) -> None:
    assert run_example(fetchd, nginx.url("/1k")) == "200 1024 bytes\n"


def test_the_python_example_prints_an_error(fetchd: Fetchd) -> None:
    assert run_example(fetchd, f"http://127.0.0.1:{refusing_port()}/").startswith("CONNECTION_REFUSED ")
