"""What an audit leaves in its folder of evidence is known by its hash from the moment it is there."""

from pathlib import Path

import numpy as np
import pytest

from toolkit import checked
from toolkit.auditing.evidence import stored_array, storing
from toolkit.errors import UserError


def write(path: Path, values: np.ndarray) -> None:
    with storing(path) as partial, open(partial, "wb") as file:
        np.save(file, values)


def test_no_file_is_there_without_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "vectors.npy"
    with monkeypatch.context() as patch:
        patch.setattr(checked, "write_json", lambda *_: (_ for _ in ()).throw(OSError(28, "no room")))
        with pytest.raises(OSError, match="no room"):
            write(path, np.arange(3))
    assert not path.exists()
    write(path, np.arange(3))
    assert stored_array(path).tolist() == [0, 1, 2]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"vectors\.npy is damaged"):
        stored_array(path)
