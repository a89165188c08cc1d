"""
Image references, case by case along the grammar and the short forms of distribution/reference.

https://github.com/distribution/reference/blob/main/reference.go (the grammar), and normalize.go
beside it (Docker's short forms).
"""

import pytest

from shared.domain.image_reference import (
    Digest,
    ImageReference,
    InvalidReferenceError,
    parse_digest,
    parse_reference,
)

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("nginx", "docker.io/library/nginx:latest", id="official-image"),
        pytest.param("nginx:1.27", "docker.io/library/nginx:1.27", id="official-image-with-tag"),
        pytest.param("bitnami/redis", "docker.io/bitnami/redis:latest", id="hub-namespace"),
        pytest.param("a/b/c", "docker.io/a/b/c:latest", id="hub-three-levels"),
        pytest.param("library/nginx", "docker.io/library/nginx:latest", id="library-itself"),
        pytest.param("docker.io/nginx", "docker.io/library/nginx:latest", id="host-no-library"),
        pytest.param("docker.io/acme/app:1", "docker.io/acme/app:1", id="full-name"),
        pytest.param("index.docker.io/nginx:1", "docker.io/library/nginx:1", id="docker-index"),
        pytest.param("index.docker.io/acme/app", "docker.io/acme/app:latest", id="index-path"),
        pytest.param("registry-1.docker.io/nginx", "docker.io/library/nginx:latest", id="hub-api"),
        pytest.param("registry-1.docker.io/a/b:1", "docker.io/a/b:1", id="hub-api-path"),
        pytest.param("ghcr.io/app", "ghcr.io/app:latest", id="no-library-elsewhere"),
        pytest.param("cuda_samples/vec", "docker.io/cuda_samples/vec:latest", id="no-host"),
        pytest.param("localhost", "docker.io/library/localhost:latest", id="localhost-alone"),
        pytest.param("localhost:5000", "docker.io/library/localhost:5000", id="port-is-a-tag"),
        pytest.param("10.0.0.1", "docker.io/library/10.0.0.1:latest", id="address-alone"),
        pytest.param("ghcr.io:v1", "docker.io/library/ghcr.io:v1", id="host-alone"),
        pytest.param("foo_bar.io:80", "docker.io/library/foo_bar.io:80", id="underscore-and-tag"),
        pytest.param(f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}", id="no-tag-added"),
        pytest.param(
            f"nginx:1@{DIGEST}", f"docker.io/library/nginx:1@{DIGEST}", id="tag-kept-with-digest"
        ),
    ],
)
def test_short_forms_are_completed(text: str, expected: str) -> None:
    reference = parse_reference(text)

    assert str(reference) == expected
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "registry", "repository"),
    [
        pytest.param("ghcr.io/a/b", "ghcr.io", "a/b", id="host"),
        pytest.param("sub-1.example.co/a", "sub-1.example.co", "a", id="hyphen-in-host"),
        pytest.param("xn--bcher-kva.example/a", "xn--bcher-kva.example", "a", id="punycode"),
        pytest.param("xn--bcher-kva.example:81/a", "xn--bcher-kva.example:81", "a", id="its-port"),
        pytest.param("registry:5000/app", "registry:5000", "app", id="port-makes-a-host"),
        pytest.param("my-registry:5000/a/b", "my-registry:5000", "a/b", id="hyphen-and-port"),
        pytest.param("nginx:1/b", "nginx:1", "b", id="number-before-path-is-a-port"),
        pytest.param("localhost/app", "localhost", "app", id="localhost"),
        pytest.param("localhost:5000/app", "localhost:5000", "app", id="localhost-port"),
        pytest.param("10.1.2.3/app", "10.1.2.3", "app", id="ipv4"),
        pytest.param("10.1.2.3:80/a/b/c", "10.1.2.3:80", "a/b/c", id="ipv4-port"),
        pytest.param("[2001:db8::7]/app", "[2001:db8::7]", "app", id="ipv6"),
        pytest.param("[2001:DB8::7]:5000/a/b", "[2001:DB8::7]:5000", "a/b", id="ipv6-port"),
        pytest.param("[::1]:5000/app", "[::1]:5000", "app", id="ipv6-loopback"),
        pytest.param("[1:2:3:4:5:6:7:8]/app", "[1:2:3:4:5:6:7:8]", "app", id="ipv6-full"),
        pytest.param("Registry/app", "Registry", "app", id="capital-makes-a-host"),
        pytest.param("GHCR.IO/a/b", "GHCR.IO", "a/b", id="upper-case-host"),
        pytest.param("a.b/c.d/e_f/g__h/i---j", "a.b", "c.d/e_f/g__h/i---j", id="separators"),
        pytest.param("host.io/1/2", "host.io", "1/2", id="digits"),
        pytest.param("us-docker.pkg.dev/p/r/i", "us-docker.pkg.dev", "p/r/i", id="google"),
        pytest.param("eu.gcr.io/example.com/p/i", "eu.gcr.io", "example.com/p/i", id="domain-path"),
        pytest.param(f"docker.io/{HEX}", "docker.io", f"library/{HEX}", id="hex-with-host"),
        pytest.param(HEX[:-1], "docker.io", f"library/{HEX[:-1]}", id="63-hex"),
        pytest.param(HEX + "0", "docker.io", f"library/{HEX}0", id="65-hex"),
        pytest.param(f"{HEX}:1", "docker.io", f"library/{HEX}", id="64-hex-with-tag"),
        pytest.param("z" * 64, "docker.io", f"library/{'z' * 64}", id="64-letters"),
    ],
)
def test_registry_and_repository_are_separated(text: str, registry: str, repository: str) -> None:
    reference = parse_reference(text)

    assert (reference.registry, reference.repository) == (registry, repository)
    assert reference.name == f"{registry}/{repository}"
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        pytest.param("a.io/b:latest", "latest", id="word"),
        pytest.param("a.io/b:V1.2-rc_3", "V1.2-rc_3", id="every-kind-of-character"),
        pytest.param("a.io/b:_x", "_x", id="underscore-first"),
        pytest.param("a.io/b:5000", "5000", id="number"),
        pytest.param("a.io:5000/b:5000", "5000", id="number-after-port"),
        pytest.param("a.io/b:a.io", "a.io", id="looks-like-a-host"),
        pytest.param(f"a.io/b:{'t' * 128}", "t" * 128, id="128-characters"),
    ],
)
def test_tag_is_read(text: str, tag: str) -> None:
    assert parse_reference(text).tag == tag


@pytest.mark.parametrize(
    "digest",
    [
        pytest.param(DIGEST, id="sha256"),
        pytest.param(f"sha384:{HEX}{HEX[:32]}", id="sha384"),
        pytest.param(f"sha512:{HEX}{HEX}", id="sha512"),
    ],
)
def test_digest_of_each_registered_algorithm_is_read(digest: str) -> None:
    assert parse_digest(digest) == digest
    assert parse_reference(f"a.io/b@{digest}") == ImageReference("a.io", "b", None, Digest(digest))
    assert parse_reference(f"a.io:80/b:c@{digest}") == ImageReference(
        "a.io:80", "b", "c", Digest(digest)
    )


def test_path_may_have_255_characters() -> None:
    path = "/".join(["a" * 15] * 16)
    assert len(path) == 255

    assert parse_reference(f"registry.example.com:5000/{path}:{'t' * 128}").repository == path
    assert parse_reference(path).repository == path
    with pytest.raises(InvalidReferenceError, match="more than 255"):
        parse_reference(f"registry.example.com:5000/{path}a")


def test_namespace_that_is_added_counts_for_the_length() -> None:
    longest = "a" * (255 - len("library/"))

    assert parse_reference(longest).repository == f"library/{longest}"
    with pytest.raises(InvalidReferenceError, match="more than 255"):
        parse_reference(longest + "a")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        pytest.param("", "repository", id="empty"),
        pytest.param(":tag", "repository", id="tag-only"),
        pytest.param(f"@{DIGEST}", "repository", id="digest-only"),
        pytest.param("a.io/", "repository", id="host-only"),
        pytest.param("docker.io/", "repository", id="hub-only"),
        pytest.param("/app", "repository", id="no-host"),
        pytest.param("app/", "repository", id="no-name"),
        pytest.param("a//b", "repository", id="empty-component"),
        pytest.param("a.io/b//c", "repository", id="empty-component-elsewhere"),
        pytest.param("App", "repository", id="upper-case"),
        pytest.param("App:1", "repository", id="upper-case-with-tag"),
        pytest.param("acme/App", "repository", id="upper-case-path"),
        pytest.param("a.io/App/b:1", "repository", id="upper-case-component"),
        pytest.param("-a", "repository", id="hyphen-first"),
        pytest.param("a-/b", "repository", id="hyphen-last"),
        pytest.param("a.io/_b", "repository", id="underscore-first"),
        pytest.param("a.io/b___c", "repository", id="three-underscores"),
        pytest.param("a.io/b._c", "repository", id="mixed-separators"),
        pytest.param("a.io/b-.c", "repository", id="hyphen-and-period"),
        pytest.param("b_.c", "repository", id="underscore-and-period"),
        pytest.param("b..c", "repository", id="two-periods"),
        pytest.param("a.io/b c", "repository", id="space"),
        pytest.param(" nginx", "repository", id="space-first"),
        pytest.param("nginx\n", "repository", id="line-feed-last"),
        pytest.param("a.io/b\x00c", "repository", id="nul"),
        pytest.param("a.io/é", "repository", id="letter-beyond-ascii"),
        pytest.param("a.io/٣", "repository", id="digit-beyond-ascii"),
        pytest.param("a.io/$(IMAGE)", "repository", id="variable"),
        pytest.param("[::1]", "repository", id="ipv6-alone"),
        pytest.param("[::1]:5000", "repository", id="ipv6-port-alone"),
        pytest.param("https://ghcr.io/a/b", "registry", id="address"),
        pytest.param("docker://nginx", "registry", id="scheme"),
        pytest.param("-a.io/b", "registry", id="hyphen-first-in-host"),
        pytest.param("a-.io/b", "registry", id="hyphen-last-in-host-part"),
        pytest.param("a..io/b", "registry", id="two-periods-in-host"),
        pytest.param(".a/b", "registry", id="period-first-in-host"),
        pytest.param("a./b", "registry", id="period-last-in-host"),
        pytest.param("a_b.io/c", "registry", id="underscore-in-host"),
        pytest.param("a.io:/b", "registry", id="no-port"),
        pytest.param("a.io:80x/b", "registry", id="port-with-letter"),
        pytest.param("a.io:80:80/b", "registry", id="two-ports"),
        pytest.param("nginx:v1/b", "registry", id="tag-before-path"),
        pytest.param("::1/b", "registry", id="ipv6-without-brackets"),
        pytest.param("2001:db8::7:5000/b", "registry", id="ipv6-and-port-without-brackets"),
        pytest.param("[fe80::1%eth0]/b", "registry", id="ipv6-zone"),
        pytest.param("[::ffff:10.0.0.1]/b", "registry", id="ipv4-in-ipv6"),
        pytest.param("[]/b.c", "registry-or-repository", id="empty-brackets"),
        pytest.param("a.io/b:", "tag", id="empty-tag"),
        pytest.param("a.io/b:-x", "tag", id="hyphen-first-in-tag"),
        pytest.param("a.io/b:.x", "tag", id="period-first-in-tag"),
        pytest.param("a.io/b:a:b", "tag", id="two-tags"),
        pytest.param("a.io/b:a+b", "tag", id="plus-in-tag"),
        pytest.param("a.io/b:a/c", "tag", id="slash-in-tag"),
        pytest.param(f"a.io/b:{'t' * 129}", "tag", id="129-characters"),
        pytest.param("a.io/b:ä", "tag", id="letter-beyond-ascii-in-tag"),
        pytest.param("a.io/b@", "digest", id="empty-digest"),
        pytest.param(f"a.io/b@{HEX}", "digest", id="no-algorithm"),
        pytest.param("a.io/b@sha256:", "digest", id="no-hex"),
        pytest.param(f"a.io/b@sha256:{HEX[:-1]}", "digest", id="short-digest"),
        pytest.param(f"a.io/b@sha256:{HEX}0", "digest", id="long-digest"),
        pytest.param(f"a.io/b@sha256:{HEX.upper()}", "digest", id="upper-case-digest"),
        pytest.param(f"a.io/b@SHA256:{HEX}", "digest", id="upper-case-algorithm"),
        pytest.param(f"a.io/b@sha512:{HEX}", "digest", id="length-of-another-algorithm"),
        pytest.param(f"a.io/b@md5:{HEX}", "digest", id="unknown-algorithm"),
        pytest.param(f"a.io/b@{DIGEST}@{DIGEST}", "digest", id="two-digests"),
        pytest.param(f"a.io/b@{DIGEST}:tag", "digest", id="tag-after-digest"),
        pytest.param(f"a.io/b@{DIGEST}\n", "digest", id="line-feed-after-digest"),
        pytest.param(HEX, "identifier", id="64-hex"),
    ],
)
def test_invalid_reference_is_refused(text: str, what: str) -> None:
    with pytest.raises(InvalidReferenceError) as caught:
        parse_reference(text)

    assert any(part in str(caught.value) for part in what.split("-or-"))


def test_host_may_be_as_long_as_one_can_be() -> None:
    host = ".".join(["a" * 63] * 3 + ["a" * 61]) + ":65535"
    assert len(host) == 259

    assert parse_reference(f"{host}/app").registry == host
    with pytest.raises(InvalidReferenceError, match="registry of more than 259"):
        parse_reference(f"a{host}/app")


def test_longest_reference_fits_an_attribute_of_a_message() -> None:
    host = ".".join(["a" * 63] * 3 + ["a" * 61]) + ":65535"
    longest = f"{host}/{'r' * 255}:{'t' * 128}@sha512:{'0' * 128}"

    assert len(str(parse_reference(longest)).encode()) <= 1024


@pytest.mark.parametrize("text", ["a-", "a.", "-", "a", "a/", "a_", "a@", "[:", "A."])
def test_very_long_text_is_parsed_in_one_pass(text: str) -> None:
    # Doubled in length it would take four times as long, if it were gone through again and again:
    # hours, for two million characters.
    with pytest.raises(InvalidReferenceError):
        parse_reference(text * (2_000_000 // len(text)) + "!")


def test_message_shows_the_offending_text_in_full() -> None:
    with pytest.raises(InvalidReferenceError, match=r"invalid tag in image reference: 'a:'"):
        parse_reference("a:")


def test_message_about_a_very_long_text_is_short() -> None:
    with pytest.raises(InvalidReferenceError) as caught:
        parse_reference("A" * 1_000_000)

    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("a.io/b", "latest"),
        ("a.io/b:1", "1"),
        (f"a.io/b@{DIGEST}", DIGEST),
        (f"a.io/b:1@{DIGEST}", DIGEST),
    ],
)
def test_digest_decides_which_version_is_meant(text: str, version: str) -> None:
    assert parse_reference(text).version == version


def test_reference_at_a_digest_has_no_tag() -> None:
    reference = parse_reference("ghcr.io/acme/app:1")

    assert str(reference.at(Digest(DIGEST))) == f"ghcr.io/acme/app@{DIGEST}"
    assert str(reference) == "ghcr.io/acme/app:1"
