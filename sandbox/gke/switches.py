"""What a test or the demo can switch in a cluster while it runs."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Switches:
    """How the nodes behave; every field may be changed at any time."""

    start_errors: dict[str, str] = field(default_factory=dict)
    """Part of an image's name -> the executable that is not found when its container starts."""
    exit_codes: dict[str, int] = field(default_factory=dict)
    """Part of an image's name -> what its containers exit with."""
    runs_on: set[str] = field(default_factory=set)
    """Parts of names of images whose containers never end by themselves, not even in a Job."""
    streaming_event: bool = True
    """Whether the snapshotter's Events reach the API server; its token bucket may be empty."""
    snapshotter_line: bool = True
    """Whether the snapshotter's log line reaches Cloud Logging."""
    failing_layers: bool = False
    """Whether layers of streamed images cannot be downloaded, so that the pull is a slow one."""
    system_images: int = 0
    """How many of GKE's own images a new streaming node streams first, filling the Events."""

    def missing_executable(self, image: str) -> str | None:
        """Return what cannot be found in an image; None if it starts."""
        return next((what for part, what in self.start_errors.items() if part in image), None)

    def exit_code(self, image: str) -> int:
        """Return what a container of an image exits with."""
        return next((code for part, code in self.exit_codes.items() if part in image), 0)

    def never_ends(self, image: str) -> bool:
        """Whether an image's containers run on."""
        return any(part in image for part in self.runs_on)
