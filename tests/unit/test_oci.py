"""Which image of a container archive is meant."""

from __future__ import annotations

import pytest

from allie.core.errors import UsageError
from allie.server.images.oci import Found, Wanted, choose


def image(arch: str, *names: str) -> Found:
    """One in an archive."""
    return Found(names, arch, f"config of {arch} {names}", ())


AMD, ARM64 = image("amd64", "latest"), image("arm64/v8", "latest")
V5, V6, V7 = (image(f"arm/v{each}", "latest") for each in (5, 6, 7))
OLD, NAMELESS = image("amd64", "old", "docker.io/x:old"), image("amd64")
OTHER, AGAIN = image("amd64", "old", "docker.io/y:old"), AMD._replace(names=("v1",))


@pytest.mark.parametrize(
    ("there", "wanted", "machine", "found"),
    [
        ([AMD], Wanted(), "x86_64", AMD),
        ([AMD], Wanted("latest"), "aarch64", AMD),  # the only one, for other machines than this
        ([NAMELESS], Wanted(), "x86_64", NAMELESS),
        ([AMD, ARM64], Wanted(), "x86_64", AMD),
        ([AMD, ARM64], Wanted(), "aarch64", ARM64),
        ([AMD, ARM64], Wanted(arch="arm64"), "x86_64", ARM64),
        ([AMD, ARM64], Wanted(arch="arm64/v8"), "x86_64", ARM64),
        ([AMD, ARM64], Wanted(arch="aarch64"), "x86_64", ARM64),
        ([V5, V6, V7], Wanted(), "armv7l", V7),
        ([V5, V6], Wanted(), "armv7l", V6),
        ([V5, V7], Wanted(), "armv6l", V5),
        ([AMD, V7], Wanted(arch="arm"), "x86_64", V7),
        ([AMD, OLD], Wanted("old"), "x86_64", OLD),
        ([AMD, OLD, OTHER], Wanted("docker.io/y:old"), "x86_64", OTHER),
        ([AMD, AGAIN], Wanted(), "x86_64", AGAIN),  # one image under two tags
        ([AMD, V7, AGAIN, V7._replace(names=AGAIN.names)], Wanted(), "x86_64", AGAIN),
    ],
)
def test_the_one_that_is_meant(
    there: list[Found], wanted: Wanted, machine: str, found: Found
) -> None:
    assert choose(there, wanted, machine, "FILE") == found


@pytest.mark.parametrize(
    ("there", "wanted", "words", "hint"),
    [
        ([], Wanted(), "FILE has no image of a Linux", ""),
        ([AMD], Wanted("new"), "FILE has no image new: latest", "--tag"),
        ([AMD, OLD], Wanted(), "FILE has 2 images: docker.io/x:old, latest", "--tag"),
        ([OLD, OTHER], Wanted("old"), "2 images: docker.io/x:old, docker.io/y:old", "--tag"),
        ([ARM64, V7], Wanted(), "FILE has no image for amd64: it has arm/v7, arm64/v8", "--arch"),
        ([AMD], Wanted(arch="s390x"), "FILE has no image for s390x: it has amd64", "--arch"),
        ([V6, V7], Wanted(arch="arm"), "FILE has 2 images for arm/v6, arm/v7", "--arch"),
    ],
)
def test_what_cannot_be_told_is_asked_for(
    there: list[Found], wanted: Wanted, words: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        choose(there, wanted, "x86_64", "FILE")
    assert words in str(caught.value)
    assert hint in (caught.value.hint or "")
