"""Which warmups are the same one."""

from shared.domain.image_reference import parse_digest, parse_reference
from shared.domain.placement import Placement
from shared.domain.warmup_job import WarmupKey


def test_two_tags_of_one_digest_are_one_warmup() -> None:
    key = WarmupKey(
        digest=parse_digest("sha256:" + "1" * 64),
        cluster="projects/p/locations/l/clusters/c",
        target=Placement(),
        period=1,
    )

    names = {
        key.job_name(parse_reference(text))
        for text in ("acme/app:v1", "acme/app:latest", f"acme/app@{key.digest}")
    }

    assert len(names) == 1
