"""A Hub behind TLS whose certificate this machine does not know, as behind the proxy of a company."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hub_server import OWNER_TOKEN, HubClient, HubServer
from tests.support.checkpoints import save_tiny

AUTHORITY = "set SSL_CERT_FILE to a PEM file with the certificate authority of your network"
CLOCK = "check the clock of this machine and HF_ENDPOINT"


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority (ca.pem), and certificates of it with their keys and the authority's own."""
    if not shutil.which("openssl"):
        pytest.skip("this machine has no openssl to make certificates with")
    folder = tmp_path_factory.mktemp("certificates")
    key = ("-newkey", "rsa:2048", "-nodes")
    _openssl(folder, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=The network's authority")
    _openssl(folder, "req", *key, "-keyout", "hub.key", "-out", "hub.csr", "-subj", "/CN=hub")
    (folder / "here.ext").write_text("subjectAltName=IP:127.0.0.1")
    (folder / "elsewhere.ext").write_text("subjectAltName=DNS:hub.example")
    for name, place, days in (("good", "here", "2"), ("old", "here", "-1"), ("foreign", "elsewhere", "2")):
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", days, "-extfile", f"{place}.ext")
        _openssl(folder, "x509", "-req", "-in", "hub.csr", *signed, "-out", "signed.pem")
        parts = ("hub.key", "signed.pem", "ca.pem")
        (folder / f"{name}.pem").write_bytes(b"".join((folder / part).read_bytes() for part in parts))
    return folder


@pytest.fixture
def secure_hub(certificates: Path) -> Iterator[Callable[[str], HubServer]]:
    """Starts a Hub with one of these certificates."""
    running: list[HubServer] = []

    def start(name: str) -> HubServer:
        running.append(HubServer(certificates / f"{name}.pem").__enter__())
        return running[-1]

    yield start
    for hub in running:
        hub.__exit__()


def test_a_certificate_of_an_unknown_authority_ends_a_pull_and_a_push_at_once_until_the_authority_is_named(
    secure_hub: Callable[[str], HubServer], certificates: Path, tmp_path: Path
) -> None:
    hub = secure_hub("good")
    folder = save_tiny(tmp_path / "tiny", "bert", "AutoModelForMaskedLM")
    hub.add_repository("org/tiny", {path.name: path for path in folder.iterdir()})
    (tmp_path / "models.txt").write_text("org/tiny\n")
    pull = ("--manifest", tmp_path / "models.txt", "--output", tmp_path / "out")
    push = ("push", tmp_path / "out" / "org" / "tiny", "--to", "tiny-ONNX")
    with HubClient(hub, tmp_path / "home", SSL_CERT_FILE=str(certificates / "ca.pem")) as client:
        client(*pull)
    with HubClient(hub, tmp_path / "other") as client:
        for arguments in (("onnx", "--model=org/tiny", tmp_path / "onnx"), push, (*pull, "--push", "repo")):
            said = client(*arguments, token=OWNER_TOKEN, expect=None)
            assert said.code in (1, 2) and said.slept == []
            assert "is not trusted: self-signed certificate in certificate chain" in said.err
            assert AUTHORITY in said.err and "Traceback" not in said.err
    assert set(hub.repositories) == {"org/tiny"}
    with HubClient(hub, tmp_path / "home", SSL_CERT_FILE=str(certificates / "ca.pem")) as client:
        assert "owner/tiny-ONNX: pushed" in client(*push, token=OWNER_TOKEN).out


@pytest.mark.parametrize(
    ("name", "reason", "hint"),
    [
        ("old", "certificate has expired", CLOCK),
        ("foreign", "IP address mismatch, certificate is not valid for '127.0.0.1'", CLOCK),
    ],
)
def test_a_certificate_that_no_authority_can_mend_has_another_hint(
    secure_hub: Callable[[str], HubServer], certificates: Path, tmp_path: Path, name: str, reason: str, hint: str
) -> None:
    hub = secure_hub(name)
    with HubClient(hub, tmp_path, SSL_CERT_FILE=str(certificates / "ca.pem")) as client:
        said = client("onnx", "--model=org/tiny", tmp_path / "onnx", expect=1)
    assert f"error: the certificate of the server that answered for org/tiny is not trusted: {reason}\n  to do: {hint}\n" in said.err
    assert said.slept == []


@pytest.mark.parametrize("name", ["missing.pem", "hub.csr"])
def test_an_ssl_cert_file_without_certificates_is_reported(
    secure_hub: Callable[[str], HubServer], certificates: Path, tmp_path: Path, name: str
) -> None:
    with HubClient(secure_hub("good"), tmp_path, SSL_CERT_FILE=str(certificates / name)) as client:
        said = client("onnx", "--model=org/tiny", tmp_path / "onnx", expect=1)
    assert "error: SSL_CERT_FILE names no file of certificates\n  to do: set it to a PEM file" in said.err
    assert said.slept == []
