"""A container engine for the tests: Docker's daemon if one answers, otherwise Podman's service, installed here as root on Debian.

Without a daemon there is no registry, so the base image is made from Debian's packages and cached. pip's settings of this machine hold
in the build too. Podman's storage is a temporary folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.debian import install

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "converter-container-test"
LOCAL_BASE = "localhost/base:bookworm"
COMMANDS = ("podman", "buildah", "runc", "mmdebstrap")
"""What Podman's way needs, each of the Debian package that has its name."""
INCLUDED = "ca-certificates,python3,python3-venv,python3-pip"
"""The Dockerfile's needs from its base: Python with venv, and certificates."""


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Engine:
    """Docker's client with its address. `base` is an image with bash and Python."""

    base: str
    prefix: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    build_args: Mapping[str, str] = field(default_factory=dict)

    def image(self, name: str) -> str:
        """The whole name of an image of ours."""
        return f"{self.prefix}{name}"

    def docker(self, *args: str, timeout: float = 120) -> Result:
        done = subprocess.run(
            ["docker", *args], env={**os.environ, **self.environment}, capture_output=True, text=True, check=False, timeout=timeout
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def do(self, *args: str, timeout: float = 120) -> str:
        """What Docker's client prints; a failure is one of the test."""
        done = self.docker(*args, timeout=timeout)
        assert done.code == 0, f"docker {' '.join(args)}: {done.out[-4000:]}{done.err[-4000:]}"
        return done.out

    def build(self, context: Path, name: str, **build_args: str) -> None:
        """Build `context` as the image `name`."""
        arguments = [word for key, value in {**self.build_args, **build_args}.items() for word in ("--build-arg", f"{key}={value}")]
        self.do("build", *arguments, "--tag", self.image(name), str(context), timeout=1800)

    def inspect(self, name: str) -> Mapping[str, object]:
        images: list[Mapping[str, object]] = json.loads(self.do("image", "inspect", self.image(name)))
        return images[0]

    def run(self, name: str, *args: str, options: list[str], timeout: float = 300) -> Result:
        """Run the image to its end. `docker run` loses the exit code on Podman; create and start have it."""
        container = self.do("create", *options, self.image(name), *args).strip()
        try:
            return self.docker("start", "--attach", container, timeout=timeout)
        finally:
            self.docker("rm", "--force", container)


@contextmanager
def engine() -> Iterator[Engine]:
    """Docker's daemon, or Podman's service for as long as the context lasts."""
    assert shutil.which("docker"), "the tests of the image need Docker's client"
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0:
        docker = Engine(base="python:3.12-slim-bookworm")
        docker.do("pull", docker.base, timeout=600)
        yield docker
    else:
        install(*COMMANDS, why="no Docker daemon answers")
        CACHE.mkdir(parents=True, exist_ok=True)
        archive = _base()
        folder = Path(tempfile.mkdtemp(prefix="podman-", dir="/var/tmp"))  # short, as the path of a socket may have 108 characters
        environment = {**os.environ, **_settings(folder), "BUILDAH_ISOLATION": "chroot"}
        try:
            _podman("import", "--quiet", str(archive), LOCAL_BASE, environment=environment)
            with _service(folder, environment) as socket:
                yield Engine(
                    base=LOCAL_BASE,
                    prefix="localhost/",
                    environment={"DOCKER_HOST": socket},
                    build_args={"BASE_IMAGE": LOCAL_BASE, "TORCH_INDEX_URL": ""},
                )
        finally:
            _podman("system", "reset", "--force", environment=environment)  # the service knows the mounts
            shutil.rmtree(folder)


@contextmanager
def _service(folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Podman's service, which speaks Docker's protocol, and its address."""
    address = f"unix://{folder}/podman.sock"
    with open(folder / "service.log", "wb") as log:
        service = subprocess.Popen(
            ["podman", "system", "service", "--time=0", address], env=dict(environment), stdout=log, stderr=subprocess.STDOUT
        )
    try:
        asked = Engine(base="", environment={"DOCKER_HOST": address})
        for _ in range(100):
            if asked.docker("version").code == 0:
                break
            assert service.poll() is None, f"Podman's service has ended: {(folder / 'service.log').read_text(encoding='utf-8')}"
            time.sleep(0.2)
        yield address
    finally:
        service.terminate()
        service.wait()


def _podman(*args: str, environment: Mapping[str, str]) -> None:
    subprocess.run(["podman", *args], env=dict(environment), check=True, stdout=subprocess.DEVNULL, timeout=300)


def _base() -> Path:
    """The base image as an archive, made from Debian's packages if it is not cached: minutes, once."""
    archive = CACHE / "base.tar"
    if not archive.exists():
        partial = CACHE / f"base-{os.getpid()}.tar"
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={INCLUDED}", "bookworm", str(partial)]
        subprocess.run(command, check=True, timeout=1200)
        partial.rename(archive)
    return archive


def _settings(folder: Path) -> dict[str, str]:
    """Podman's two files of settings, and pip's of this machine; returns the variables that name the first two."""
    pip_conf, mounts = _pip()
    (folder / "pip.conf").write_text(pip_conf, encoding="utf-8")
    storage = f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/storage"\nrunroot = "{folder}/run"\n'
    (folder / "storage.conf").write_text(storage, encoding="utf-8")
    volumes = [f"{folder}/pip.conf:/etc/pip.conf:ro", *(f"{path}:{path}:ro" for path in mounts)]
    (folder / "containers.conf").write_text(
        "[containers]\n"
        'netns = "host"\n'
        # a process that may not raise its limits cannot start a container with the default ones
        'default_ulimits = ["nofile=4096:4096", "nproc=8192:8192"]\n'
        f"volumes = {json.dumps(volumes)}\n"
        f'[engine]\ntmp_dir = "{folder}/tmp"\nruntime = "runc"\nevents_logger = "file"\ncgroup_manager = "cgroupfs"\n',
        encoding="utf-8",
    )
    return {"CONTAINERS_STORAGE_CONF": f"{folder}/storage.conf", "CONTAINERS_CONF": f"{folder}/containers.conf"}


def _pip() -> tuple[str, list[Path]]:
    """pip's settings here, as one file, and the local files and folders that they name."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True).stdout
    values: dict[str, str] = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2]
        if key in ("cert", "find-links", "index-url", "default-timeout"):
            values[key] = value.strip("'")
    words = [word.removeprefix("file://") for value in values.values() for word in value.split()]
    mounts = [Path(word) for word in dict.fromkeys(words) if word.startswith("/") and Path(word).exists()]
    return "\n".join(["[global]", *(f"{key} = {value}" for key, value in values.items()), ""]), mounts
