"""What is known beside the images, as a network takes it: joined to its backbone's features before the head."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from toolkit.data.tables import Column
from toolkit.errors import UserError
from toolkit.networks.plain import is_plain, trait
from toolkit.recipe import Table

FARTHEST = 8.0  # standard deviations: what lies beyond is as odd as that
SMALLEST = 1e-6  # as of `Scale`


class TableInput(nn.Module):
    """Numbers standardised, categories apart, and for each column whether it is known; then two layers.

    Mean and spread of the training rows are buffers, stored with the weights, and so is what of all this they have at
    all: a category that they lack, or a column that is always known there, says nothing, as nothing was learnt of it.
    """

    def __init__(self, columns: Sequence[Column], settings: Table) -> None:
        super().__init__()
        self.numbers = [at for at, column in enumerate(columns) if column.categories is None]
        self.categories = {at: len(column.categories) for at, column in enumerate(columns) if column.categories}
        inputs = len(self.numbers) + len(columns) + sum(self.categories.values())
        self.columns, self.width = len(columns), settings.width
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.present: torch.Tensor
        self.register_buffer("mean", torch.zeros(len(self.numbers)))
        self.register_buffer("std", torch.ones(len(self.numbers)))
        self.register_buffer("present", torch.ones(inputs))
        self.layers = nn.Sequential(
            nn.Linear(inputs, settings.width),
            nn.GELU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.width, settings.width),
            nn.GELU(),
        )

    @torch.no_grad()
    def learn(self, table: np.ndarray) -> None:
        """From the rows (n, K) that are trained on."""
        numbers = table[:, self.numbers].astype(np.float64)
        known = np.where(np.isnan(numbers).all(0), 0, numbers)
        mean, std = np.nanmean(known, axis=0), np.nanstd(known, axis=0)
        self.mean.copy_(torch.from_numpy(mean))
        self.std.copy_(torch.from_numpy(np.where(std > SMALLEST * (1 + abs(mean)), std, 1)))
        self.present.fill_(1)
        rows = torch.from_numpy(np.array(table)).to(self.mean.device)
        self.present.copy_((self.encoded(rows) != 0).any(0).float())

    @torch.no_grad()
    def encoded(self, table: torch.Tensor) -> torch.Tensor:
        """float32 (B, D) of rows float32 (B, K) as `Dataset` has them. What isn't known is 0, and said apart."""
        numbers = (table[:, self.numbers] - self.mean) / self.std
        parts = [numbers.clamp(-FARTHEST, FARTHEST).nan_to_num(0), table.isnan().float()]
        for at, count in self.categories.items():
            places = table[:, at].nan_to_num(-1).long() + 1
            parts.append(nn.functional.one_hot(places, count + 1)[:, 1:].float())
        return torch.cat(parts, 1) * self.present

    def forward(self, features: torch.Tensor, encoded: torch.Tensor) -> torch.Tensor:
        """features (B, F) of images, joined with what is made of the table: (B, F + width)."""
        return torch.cat([features, self.layers(encoded).to(features.dtype)], 1)


class TabledHead(nn.Module):
    """The head of a network with a table: from features (B, F) and the encoded table (B, D) to what it says."""

    def __init__(self, table: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.table, self.head = table, head

    def forward(self, features: torch.Tensor, encoded: torch.Tensor) -> torch.Tensor:
        said: torch.Tensor = self.head(self.table(features, encoded))
        return said


for each in (TableInput, TabledHead):
    each.__module__ = "toolkit"  # as Network's


def join_table(network: Any, columns: Sequence[Column], settings: Table, head: str = "head") -> None:
    """Make a network take a table with these columns: `forward(images, encoded)`; its head gets the wider input.

    UserError where its body isn't a backbone and a head.
    """
    body: Any = None if is_plain(network) else network.body
    linear: tuple[str, nn.Linear] | None = None
    if isinstance(body, nn.Sequential) and [name for name, _ in body.named_children()] == [network.backbone, head]:
        named = body.get_submodule(head).named_modules()
        linear = next(((name, layer) for name, layer in named if isinstance(layer, nn.Linear)), None)
    if linear is None:
        raise UserError(
            "where a table lies beside the images build_model must give a toolkit.classifier, or a Network of a "
            "backbone and a head; set table.width=0 to do without the table"
        )
    name, layer = linear
    wider = nn.Linear(layer.in_features + settings.width, layer.out_features, layer.bias is not None)
    body.set_submodule(f"{head}.{name}" if name else head, wider)
    network.table = TableInput(columns, settings)


def beside(
    network: nn.Module, parts: Iterable[torch.Tensor], table: np.ndarray | None
) -> Iterator[tuple[torch.Tensor, ...]]:
    """What a network takes of batches (B, …) in order, of images or features: these, and with a table its rows.

    table: float32 (N, K) of all of them; it is left aside by a network that takes none. UserError where one is needed.
    """
    taken: Any = trait(network, "table")
    first = 0
    for part in parts:
        if taken is None:
            yield (part,)
            continue
        if table is None:
            raise UserError("the network was trained with a table beside the images; give its rows as `table`")
        rows = torch.from_numpy(np.array(table[first : first + len(part)])).to(part.device)
        yield part, taken.encoded(rows)
        first += len(part)


class TableRows:
    """The rows of a table as a network in training takes them; nothing where it takes none, or there is none."""

    def __init__(self, network: Any, table: np.ndarray | None, device: torch.device) -> None:
        """table: float32 (N, K) of all samples."""
        self.taken: TableInput | None = trait(network, "table")
        self.table, self.device = table if self.taken else None, device

    def raw(self, rows: np.ndarray) -> np.ndarray | None:
        return None if self.table is None else self.table[rows]

    def learn(self, rows: np.ndarray) -> None:
        """From the samples that are trained on."""
        if self.taken is not None and self.table is not None:
            self.taken.learn(self.table[rows])

    def of(self, rows: np.ndarray) -> tuple[torch.Tensor, ...]:
        """Encoded, (n, D)."""
        found = self.raw(rows)
        return () if found is None else self.encoded(torch.from_numpy(np.array(found)))

    def encoded(self, rows: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
        """Rows float32 (n, K), also of other samples."""
        return (
            ()
            if self.taken is None or rows is None
            else (self.taken.encoded(rows.to(self.device, non_blocking=True)),)
        )


def nothing_known(network: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What a network takes of images (B, C, H, W) beside which nothing is known: to see its shapes, or its speed."""
    taken: Any = trait(network, "table")
    if taken is None:
        return (images,)
    return images, taken.encoded(torch.full((len(images), taken.columns), torch.nan, device=images.device))
