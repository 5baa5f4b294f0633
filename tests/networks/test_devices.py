"""A device that is there, and precision by default or as asked for."""

import os

import pytest
import torch

from toolkit.errors import UserError
from toolkit.networks.devices import autocast, resolve_device


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "cpu:x"])
def test_a_device_that_is_not_there_is_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(UserError, match=f"device '{name}' can't be used: ") as caught:
        resolve_device(name)
    assert "\n" not in str(caught.value)


def test_bfloat16_is_left_off_on_a_cpu_unless_it_is_asked_for() -> None:
    for precision, expected in (("auto", torch.float32), ("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        with autocast(torch.device("cpu"), precision):
            assert (torch.ones(1, 1) @ torch.ones(1, 1)).dtype == expected


def test_products_on_a_gpu_sum_in_one_order() -> None:
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] in (":4096:8", ":16:8")  # the two that PyTorch takes for it
