"""What several tests of the audit look at."""

from pathlib import Path

import pytest

from tests.auditing import leaky


@pytest.fixture(scope="session")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of a competition whose test images are copies of training images, audited; to be copied."""
    root = tmp_path_factory.mktemp("leaky")
    leaky.project(root).audit()
    return root
