"""The versions are those of the installed distributions."""

from __future__ import annotations

from converter.artifacts.versions import versions_of


def test_versions_are_of_the_installed_distributions_and_ours() -> None:
    assert set(versions_of(("pydantic", "click", "no-such-package"))) == {"converter", "pydantic", "click"}
