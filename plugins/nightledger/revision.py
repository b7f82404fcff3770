"""Which revision of the code runs: kept beside whatever it makes."""

import subprocess

from nightledger.settings import Settings


def of(settings: Settings) -> str:
    """Commit of the checkout, with `+` when files differ from it; `unknown` outside git."""
    if settings.code_revision:
        return settings.code_revision
    git = ["git", "-C", str(settings.project)]
    try:
        commit, changed = (
            subprocess.run([*git, *words], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
            for words in (
                ["rev-parse", "--short=12", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no"],
            )
        )
    except (subprocess.CalledProcessError, FileNotFoundError):
        return "unknown"
    return f"{commit}{'+' if changed else ''}"
