"""Remove what a trial created, the last object first."""

from collections.abc import Callable
from dataclasses import dataclass, field

from cli.trial.trial_objects import Removal
from shared.errors import EventError


@dataclass(slots=True)
class CleanUp:
    """
    The objects of a trial that exist, or may exist.

    An object is listed before it is created, so that an interruption between the two leaves
    nothing behind.
    """

    say: Callable[[str], None]
    removals: list[Removal] = field(default_factory=list)

    def add(self, removal: Removal) -> None:
        """List an object that is about to be created."""
        self.removals.append(removal)

    def run(self) -> bool:
        """Remove all objects, and return whether that succeeded; name those that remain."""
        try:
            while self.removals:
                removal = self.removals[-1]
                removal.remove()
                self.say(f"removed {removal.subject}")
                self.removals.pop()
        except EventError as exc:
            self.say(f"error: {exc}")
            self.list_rest("this removes the rest:")
            return False
        except KeyboardInterrupt:
            self.list_rest("interrupted; this removes the rest:")
            return False
        return True

    def list_rest(self, introduction: str) -> None:
        """Print the commands that remove the remaining objects."""
        if self.removals:
            self.say("\n".join([introduction, *(each.command for each in reversed(self.removals))]))
