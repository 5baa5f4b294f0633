"""Sample submissions of each form, and predictions to be laid out in it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit import (
    MAP,
    Accuracy,
    Classification,
    Competition,
    Dialect,
    Grades,
    HeadAccuracy,
    Heads,
    LabelF1,
    Labels,
    LogLoss,
    MeanDice,
    MeanIoU,
    Numbers,
    OverlappingMasks,
    Prediction,
    QuadraticKappa,
    Rmse,
    RocAuc,
    Segmentation,
)
from toolkit.formats.recognition import sample_format
from toolkit.formats.sample_format import SampleFormat
from toolkit.metrics.metric import Metric
from toolkit.task import Task

SHAPE = (4, 5, 3)
LEAF = Classification(("healthy", "sick"), SHAPE)
THREE = Classification(("ant", "bee", "cat"), SHAPE)
WHALES = Classification(("w_1", "w_2", "w_3"), SHAPE, unknown="new_whale")
FINDINGS = Labels(("rust", "scab"), SHAPE)
HEADS = Heads((("root", ("a", "b")), ("grapheme_end", ("p", "q", "r"))), SHAPE)
ROCKS = Segmentation(("sand", "rock"), SHAPE)
DAMAGE = OverlappingMasks(("rust", "scab"), SHAPE)
PIXELS = ",".join(map(str, range(20)))


@dataclass(frozen=True)
class Case:
    """text: the sample's; ids: what `load` calls the two test images."""

    text: str
    task: Task
    metric: Metric
    ids: tuple[Any, ...] = ("1", "2")
    dialect: Dialect = Dialect()  # noqa: RUF009

    def form(self, folder: Path, name: str = "sample_submission.csv") -> SampleFormat:
        (folder / name).write_text(self.text)
        return sample_format(folder / name, self.task, self.metric.of(self.task), self.ids, self.dialect)

    def competition(self, folder: Path) -> Competition:
        return Competition("x", self.task, self.metric, lambda _: None, lambda _: None, {}, folder)  # type: ignore[arg-type, return-value]

    def prediction(self, stored: np.ndarray) -> Prediction:
        images = np.zeros((len(self.ids), *SHAPE), np.uint8)
        return self.competition(Path()).prediction(images, np.array(self.ids), stored)

    def stored(self, seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        shape = (len(self.ids), self.task.channels, *(SHAPE[:2] if self.task.masks else ()))
        if self.task.exclusive:
            found = rng.dirichlet(np.ones(shape[1]), (shape[0], *shape[2:]))
            return np.moveaxis(found, -1, 1).astype(np.float16)
        return rng.random(shape).astype(np.float16)


CASES = {
    "a name": Case("image,label\n1.png,healthy\n2.png,sick\n", LEAF, Accuracy()),
    "a place, ids last, in another order": Case("label,image\n0,2\n0,1\n", LEAF, Accuracy()),
    "a place from 1": Case("id,label\n1,1\n2,3\n", THREE, Accuracy()),
    "a name and no example": Case("id,label\n1,\n2,\n", THREE, Accuracy()),
    "a flag a class": Case("id,cat,ant,bee\n1,0,0,1\n2,0,1,0\n", THREE, Accuracy()),
    "a probability": Case("id,target\n1,0.5\n2,0.5\n", LEAF, RocAuc()),
    "a probability of the other": Case(
        "id,target\n1,0.5\n2,0.5\n", LEAF, LogLoss(), (1, 2), Dialect(positive="healthy")
    ),
    "a column a class": Case("id,Cat,Ant,BEE\n1,0,0,1\n2,0,1,0\n", THREE, LogLoss()),
    "a column a class with something around": Case("id,p_cat_x,p_ant_x,p_bee_x\n1,0,0,1\n2,0,1,0\n", THREE, LogLoss()),
    "numbered columns": Case("id,c0,c1,c2\n1,0,0,1\n2,0,1,0\n", THREE, LogLoss()),
    "columns of other names": Case(
        "id,x,y\n1,0,1\n2,0,1\n", LEAF, LogLoss(), dialect=Dialect(columns={"x": "sick", "y": "healthy"})
    ),
    "tabs": Case("id\tscab\trust\n1\t0\t0\n2\t0\t0\n", FINDINGS, RocAuc()),
    "a row a label": Case("id,p\n1.jpg_scab,0\n1.jpg_rust,0\n2.jpg_scab,0\n2.jpg_rust,0\n", FINDINGS, RocAuc()),
    "a row a label, first of all images": Case("id,p\n1 scab,0\n2 scab,0\n1 rust,0\n2 rust,0\n", FINDINGS, RocAuc()),
    "two columns of keys": Case("class,id,p\nscab,1,0\nrust,1,0\nscab,2,0\nrust,2,0\n", FINDINGS, RocAuc()),
    "a flag a label": Case("id,rust,scab\n1,0,0\n2,0,0\n", FINDINGS, LabelF1()),
    "labels that are given": Case("id,labels\n1,rust scab\n2,\n", FINDINGS, LabelF1()),
    "labels by place, with a mark": Case("id,labels\n1,0|1\n2,-\n", FINDINGS, LabelF1(), dialect=Dialect(empty="-")),
    "the likeliest": Case("Image,Id\n1,new_whale w_1 w_2\n2,new_whale w_1 w_2\n", WHALES, MAP(3)),
    "numbers": Case("id,length,weight\n1,0,0\n2,0,0\n", Numbers(("weight", "length"), SHAPE), Rmse()),
    "a number of another name": Case("id,Pawpularity\n1,0\n2,0\n", Numbers(("score",), SHAPE), Rmse()),
    "a grade": Case("id,diagnosis\n1,0\n2,0\n", Grades(("0", "1", "2"), SHAPE), QuadraticKappa()),
    "an expected grade from 1": Case("id,grade\n1,1.5\n2,1.5\n", Grades(("1", "2", "3"), SHAPE), Rmse()),
    "a column a head": Case("id,root,grapheme_end\n1,a,p\n2,a,p\n", HEADS, HeadAccuracy()),
    "a row a head": Case(
        "row_id,target\nT_1_root,0\nT_1_grapheme_end,0\nT_2_root,0\nT_2_grapheme_end,0\n",
        HEADS,
        HeadAccuracy(),
        ("T_2", "T_1"),
    ),
    "a mask": Case("id,rle_mask\n1,1 1\n2,1 1\n", ROCKS, MeanIoU()),
    "a mask along rows, with a mark": Case(
        "id,rle\n1,-1\n2,-1\n", ROCKS, MeanIoU(), dialect=Dialect(by="rows", first=0)
    ),
    "a row a mask": Case(
        "ImageId_ClassId,EncodedPixels\n1.jpg_1,1 1\n1.jpg_2,1 0\n2.jpg_1,1 0\n2.jpg_2,1 0\n",
        DAMAGE,
        MeanDice(),
        ("1.jpg", "2.jpg"),
    ),
    "a row a class without the background": Case("id,c,rle\n1,1,\n2,1,\n", ROCKS, MeanIoU()),
    "a column a pixel": Case(f"id,{PIXELS}\n0{',0' * 20}\n1{',0' * 20}\n", ROCKS, MeanIoU(), (0, 1)),
}
