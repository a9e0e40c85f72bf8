"""Programs that tests need beside Python, of Debian's packages."""

from __future__ import annotations

import os
import shutil
import subprocess


def install(*commands: str, why: str) -> None:
    """Install missing `commands` from the packages of the same name, as root with apt-get if possible."""
    missing = [command for command in commands if not shutil.which(command)]
    if missing:
        assert os.geteuid() == 0 and shutil.which("apt-get"), f"{why}, and these are missing: {', '.join(missing)}"
        for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *missing]):
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(["apt-get", *words], env=environment, check=True, stdout=subprocess.DEVNULL, timeout=900)
