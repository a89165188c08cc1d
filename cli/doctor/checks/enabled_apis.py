"""Whether the APIs that nodes and the pipeline need are on."""

from collections.abc import Iterator, Mapping
from typing import Final

from cli.doctor.check import Check, command, unknown
from cli.doctor.response import GoogleRequest, NotFound, Response, Unavailable
from shared.domain.json_access import mappings_of, text_of

STREAMING: Final = "containerfilesystem.googleapis.com"
"""Without it, a node with streaming on downloads every image whole, without an error."""

OF_IMAGES: Final[Mapping[str, str]] = {
    STREAMING: "no node streams an image of this project",
    "artifactregistry.googleapis.com": "mirrors cannot be read or created",
}
OF_CLUSTERS: Final[Mapping[str, str]] = {
    STREAMING: "no node of this project's clusters streams an image",
    "container.googleapis.com": "the project has no clusters to warm images for",
    "logging.googleapis.com": "reports of nodes do not arrive",
}
OF_PIPELINE: Final[Mapping[str, str]] = {
    "cloudfunctions.googleapis.com": "the functions cannot be deployed",
    "cloudscheduler.googleapis.com": "the sweep does not run, so warm images go cold",
    "logging.googleapis.com": "facts are not stored",
    "pubsub.googleapis.com": "messages do not reach the functions",
    "run.googleapis.com": "the functions do not answer",
}
WITH_CREDENTIALS: Final[Mapping[str, str]] = {
    "secretmanager.googleapis.com": "Artifact Registry cannot log in upstream",
}


def check_apis(
    look: GoogleRequest, needed: Mapping[str, str], reading: Response
) -> Iterator[Check]:
    """
    Check the APIs of a project.

    Args:
        look: The request.
        needed: The consequence of each API that is off, by its name.
        reading: The response.
    """
    subject = f"project {look.project}"
    if isinstance(reading, NotFound):
        reading = Unavailable(reading.what, "the project does not exist")
    if isinstance(reading, Unavailable):
        yield unknown("services", "api-enabled", subject, reading)
        return
    states = {
        (text_of(each.get("name")) or "").rpartition("/")[2]: each.get("state")
        for each in mappings_of(reading.get("services"))
    }
    for name, consequence in needed.items():
        is_on = states.get(name) == "ENABLED"
        if not is_on and name not in states:
            unseen = Unavailable(str(look), "the answer does not contain it")
            yield unknown("services", "api-enabled", f"{name} in {subject}", unseen)
            continue
        yield Check(
            topic="services",
            name="api-enabled",
            subject=f"{name} in {subject}",
            verdict="ok" if is_on else "failed",
            looked_at=str(look),
            finding="it is on" if is_on else f"it is off: {consequence}",
            fix=None
            if is_on
            else command("gcloud", "services", "enable", name, f"--project={look.project}"),
        )
