"""Laws of image references that hold for every text."""

import string

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.image_reference import (
    Digest,
    ImageReference,
    InvalidReferenceError,
    parse_digest,
    parse_reference,
)

LOWER = string.ascii_lowercase + string.digits
ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"

labels = st.builds(
    lambda head, middle, last: head + middle + last,
    st.sampled_from(ALNUM),
    st.text(ALNUM + "-", max_size=8),
    st.sampled_from(ALNUM),
)
domains = st.lists(labels, min_size=2, max_size=4).map(".".join)
addresses = st.one_of(
    st.ip_addresses(v=4).map(str),
    # Python writes an IPv4-mapped address with periods, which the grammar leaves out.
    st.ip_addresses(v=6).map(str).filter(lambda text: "." not in text).map("[{}]".format),
)
ports = st.one_of(st.just(""), st.integers(0, 65535).map(":{}".format))
registries = st.one_of(
    st.builds(lambda host, port: host + port, st.one_of(domains, addresses), ports),
    st.builds(lambda host, port: f"{host}:{port}", labels, st.integers(0, 65535)),
    st.sampled_from(["localhost", "docker.io", "Registry"]),
).filter(lambda host: host not in {"index.docker.io", "registry-1.docker.io"})

words = st.text(LOWER, min_size=1, max_size=6)
separators = st.sampled_from([".", "_", "__", "-", "--", "---"])
components = st.builds(
    lambda first, rest: first + "".join(separator + word for separator, word in rest),
    words,
    st.lists(st.tuples(separators, words), max_size=3),
)
# A repository with two components is unchanged, also on Docker Hub.
repositories = st.lists(components, min_size=2, max_size=4).map("/".join)
tags = st.builds(
    lambda first, rest: first + rest,
    st.sampled_from(ALNUM + "_"),
    st.text(ALNUM + "_.-", max_size=127),
)
digests = st.sampled_from([("sha256", 64), ("sha384", 96), ("sha512", 128)]).flatmap(
    lambda each: st.text(HEX, min_size=each[1], max_size=each[1]).map(
        lambda digits: Digest(f"{each[0]}:{digits}")
    )
)
versions = st.one_of(
    st.tuples(tags, st.none()), st.tuples(st.none(), digests), st.tuples(tags, digests)
)
references = st.builds(
    lambda registry, repository, version: ImageReference(registry, repository, *version),
    registries,
    repositories,
    versions,
)
# Texts of the characters that the grammar is about come closer to its borders than any others.
near_misses = st.text("aA0.-_/:@[]% \n" + "é", max_size=40)
mutations = st.builds(
    lambda reference, place, text: (
        str(reference)[: place % (len(str(reference)) + 1)]
        + text
        + str(reference)[place % (len(str(reference)) + 1) :]
    ),
    references,
    st.integers(0, 400),
    st.text("aA0.-_/:@[]\n", max_size=3),
)


@given(references)
def test_reference_that_is_written_is_read_as_itself(reference: ImageReference) -> None:
    assert parse_reference(str(reference)) == reference


@given(st.one_of(st.text(), near_misses, mutations))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        reference = parse_reference(text)
    except InvalidReferenceError:
        return

    assert parse_reference(str(reference)) == reference
    assert len(reference.repository) <= 255


@given(st.one_of(st.text(), near_misses, digests))
def test_any_text_is_a_digest_or_refused(text: str) -> None:
    try:
        digest = parse_digest(text)
    except InvalidReferenceError:
        return

    assert digest == text
    assert digest.startswith("sha")


@given(digests)
def test_every_digest_is_accepted(digest: Digest) -> None:
    assert parse_digest(digest) == digest


@given(components, tags)
def test_short_and_full_names_of_docker_hub_mean_the_same(name: str, tag: str) -> None:
    short = f"{name}:{tag}"

    meant = {
        parse_reference(text)
        for text in (
            short,
            f"library/{short}",
            f"docker.io/{short}",
            f"docker.io/library/{short}",
            f"index.docker.io/{short}",
            f"registry-1.docker.io/library/{short}",
        )
    }

    assert meant == {ImageReference("docker.io", f"library/{name}", tag)}
