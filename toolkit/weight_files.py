"""Pretrained weights in folders that a user named (`--weights FOLDER`): which files are looked for, and found."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import UserError

HUB = "https://huggingface.co"
MODEL = "model.safetensors"  # what the hub calls it
ENDINGS = (".safetensors", ".pth", ".bin")
FOLDERS: list[Path] = []  # of this process, whichever project named them; the last named is asked first


@dataclass(frozen=True)
class Wanted:
    """Pretrained weights. of: what the network is called; names: of their file, without its ending, the best first;
    repository: where they lie on the hub, such as `timm/resnet18.a1_in1k`, empty where they don't.
    """

    of: str
    names: tuple[str, ...]
    repository: str = ""

    @property
    def paths(self) -> Iterator[str]:
        """Where the file may lie in a folder: by its name, or as the hub and its cache lay it."""
        yield from (f"{name}{ending}" for name in self.names for ending in ENDINGS)
        if self.repository:
            for folder in (self.repository, self.repository.rpartition("/")[2]):
                yield from (f"{folder}/{name}" for name in (MODEL, "pytorch_model.bin"))
            yield f"models--{self.repository.replace('/', '--')}/snapshots/*/{MODEL}"

    @property
    def how_to_fetch(self) -> str:
        """Which file, from where, and how to name it; for weights that are not at hand."""
        if not self.repository:
            return f"lay them in a folder as {self.names[0]}.safetensors and say --weights FOLDER"
        return (
            f"on a machine with a network fetch {HUB}/{self.repository}/resolve/main/{MODEL}, lay it in a folder as "
            f"{self.names[0]}.safetensors and say --weights FOLDER"
        )


def look_in(folder: Path | str | None) -> None:
    """Look for pretrained weights in this folder too, from now on; None: nothing new. UserError where it is none."""
    if folder is None:
        return
    path = Path(folder).resolve()
    if not path.is_dir():
        raise UserError(f"{folder} is not a folder; --weights names the one in which files of pretrained weights lie")
    if path in FOLDERS:
        FOLDERS.remove(path)
    FOLDERS.insert(0, path)


def find(wanted: Wanted) -> Path | None:
    """The file of these weights; None where no folder has it."""
    found = (file for folder in FOLDERS for path in wanted.paths for file in sorted(folder.glob(path)))
    return next((file for file in found if file.is_file()), None)


def others(wanted: Wanted) -> list[str]:
    """Names of files that are of the same network under another tag: other weights, whose images may be scaled
    otherwise, so they are never taken in place of these.
    """
    stem = wanted.names[-1].partition(".")[0]
    found = [file.name for folder in FOLDERS for ending in ENDINGS for file in folder.glob(f"{stem}.*{ending}")]
    return sorted(set(found) - set(wanted.paths))
