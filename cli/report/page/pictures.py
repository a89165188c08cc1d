"""``python -m cli.report.page.pictures PAGE PICTURE``: the top of a page, as a PNG file."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH: Final = 1100
HEIGHT: Final = 1000

_TIMEOUT_S: Final = 60.0


def take_picture(page: Path, picture: Path) -> str | None:
    """Take a picture of the top of a page; return the problem, if any."""
    program = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if program is None:
        return f"no browser is installed: none of {', '.join(BROWSERS)}"
    picture.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        arguments = (
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--blink-settings=preferredColorScheme=1",
            f"--user-data-dir={profile}",
            f"--window-size={WIDTH},{HEIGHT}",
            "--virtual-time-budget=10000",
            f"--screenshot={picture.resolve()}",
        )
        ended = subprocess.run(  # noqa: S603  # a browser that was found on this machine
            [program, *arguments, page.resolve().as_uri()],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    return None if ended.returncode == 0 and picture.exists() else ended.stderr[-500:]


if __name__ == "__main__":
    if problem := take_picture(Path(sys.argv[1]), Path(sys.argv[2])):
        sys.exit(f"no picture: {problem}")
