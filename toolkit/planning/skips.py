"""What is left out of a plan, told in one line: most of it is left out for one reason."""

from toolkit.progress import Progress


class Skips:
    """Names by the reason, until they are told."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.names: dict[str, list[str]] = {}

    def add(self, name: str, why: str) -> None:
        self.names.setdefault(why, []).append(name)

    def tell(self) -> None:
        if self.names:
            told = [f"{', '.join(names)}: {why}" for why, names in self.names.items()]
            self.progress.say(f"skipped {'; '.join(told)}")
            self.names.clear()
