"""Stand-ins of Kaggle's client: names, arguments and answers of version 2.2."""

import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

NAME = "leaf-class"


class HttpError(OSError):
    """As `requests` raises it: an OSError with a response."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text or f"{status} Client Error")
        self.response = SimpleNamespace(status_code=status)


class Downloads:
    """Serves an archive a part at a time, and goes on with what lies there, as the client does.

    cut: bytes after which the line breaks once.
    """

    def __init__(self, archive: Path, cut: int | None = None) -> None:
        self.content, self.cut = archive.read_bytes(), cut
        self.sent = 0

    def download_needed(self, response: Any, outfile: str, quiet: bool = True) -> bool:
        path = Path(outfile)
        return not path.exists() or path.stat().st_size < int(response.headers["Content-Length"])

    def competition_download_files(
        self, competition: str, path: str | None = None, force: bool = False, quiet: bool = True, unzip: bool = False
    ) -> None:
        assert path is not None and not unzip
        outfile = Path(path) / f"{competition}.zip"
        response = SimpleNamespace(headers={"Content-Length": str(len(self.content))})
        print("as the client prints, whatever it is told")
        if not self.download_needed(response, str(outfile), quiet):
            return
        outfile.parent.mkdir(parents=True, exist_ok=True)
        begun = outfile.read_bytes() if outfile.exists() else b""
        assert self.content.startswith(begun)
        until, cut = len(self.content) if self.cut is None else self.cut, self.cut
        self.cut = None
        outfile.write_bytes(self.content[:until])
        self.sent += until - len(begun)
        if cut is not None:
            raise ConnectionError("Connection broken: IncompleteRead")


def packed(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def packed_bytes(folder: Path, files: dict[str, bytes]) -> bytes:
    path = packed(folder / "inner.zip", files)
    content = path.read_bytes()
    path.unlink()
    return content
