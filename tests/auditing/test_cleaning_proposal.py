"""The cleaning list that follows from findings."""

from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest

from tests.auditing.test_duplicates import texture
from toolkit.auditing.cleaning_proposal import groups_found, propose, too_many_to_drop
from toolkit.auditing.findings import LINKS, Findings, _one_scene, repeated_masks
from toolkit.auditing.label_errors import LabelErrors
from toolkit.data.cleaning import leaves_the_score, was_suggested
from toolkit.data.dataset import Dataset
from toolkit.data.groups import REPEATS, empty_pictures, equal_pictures
from toolkit.images.pictures import hash_pictures
from toolkit.task import IGNORED, Classification, Segmentation, Task

LABELS = Classification(("a", "b"), (8, 8, 1))
MASKS = Segmentation(("a", "b"), (8, 8, 1))


def dataset(targets: np.ndarray) -> Dataset:
    """Ids count from 100, so that rows and ids can't be confused."""
    images = np.random.default_rng(0).integers(0, 256, (len(targets), 8, 8, 1)).astype(np.uint8)
    return Dataset(images, targets, np.arange(len(targets)) + 100, np.arange(len(targets)), images[:0])


def found(data: Dataset, task: Task, links: list[tuple[object, ...]] | None = None) -> Findings:
    """What is found in the pictures and masks alone, with the given links."""
    number, same = len(data.images), equal_pictures(hash_pictures(data.images))
    return Findings(
        same=same,
        masks=repeated_masks(data.targets, task),
        distinct=np.arange(number),
        links=pd.DataFrame(links or [], columns=list(LINKS)),
        outlyingness=np.zeros(number),
        near=np.zeros((number, 1), np.int64),
        label_errors=LabelErrors(np.ones(number), np.zeros(number, bool), np.zeros(number, np.int64)),
        empty=empty_pictures(same, data.images),
    )


def lines(data: Dataset, task: Task, findings: Findings) -> list[list[object]]:
    return propose(data, task, findings)[["index", "action", "value"]].to_numpy().tolist()


def test_equal_pictures_are_grouped() -> None:
    data = dataset(np.arange(10) % 2)
    data.images[7] = data.images[1]
    findings = found(data, LABELS)
    assert lines(data, LABELS, findings) == [[101, "group", "101"], [107, "group", "101"]]
    group = groups_found(data, findings, np.zeros(10, bool))
    assert group[1] == group[7] and len(set(group)) == 9


def test_equal_pictures_under_two_labels_are_dropped() -> None:
    data = dataset(np.arange(10) % 2)
    data.images[6] = data.images[1]
    assert lines(data, LABELS, found(data, LABELS)) == [[101, "drop", ""], [106, "drop", ""]]


def test_a_picture_repeated_too_often_is_dropped_under_whatever_label() -> None:
    data = dataset(np.arange(30) % 2)
    data.images[20 : 21 + REPEATS] = data.images[20]
    listed = propose(data, LABELS, found(data, LABELS))
    assert listed["index"].tolist() == list(range(120, 121 + REPEATS))
    assert set(listed["action"]) == {"drop"}
    assert set(listed["reason"]) == {f"repeated picture: {REPEATS + 1} times"}


def test_one_patterned_mask_under_many_pictures_is_dropped_but_a_plain_mask_is_not() -> None:
    masks = np.zeros((30, 8, 8), np.uint8)
    masks[: REPEATS + 1, :4] = 1
    data = dataset(masks)
    assert lines(data, MASKS, found(data, MASKS)) == [[100 + row, "drop", ""] for row in range(REPEATS + 1)]


def test_a_mask_is_plain_where_all_but_what_is_ignored_is_of_one_class() -> None:
    masks = np.zeros((30, 8, 8), np.uint8)
    masks[:, :2] = IGNORED  # as beside a picture that doesn't fill its frame
    assert repeated_masks(masks, MASKS) == ()


def test_pictures_of_one_scene_have_one_mask_by_right_but_those_under_one_drawing_have_not() -> None:
    rng, scene = np.random.default_rng(0), texture(1, 96, 1)
    noisy = [np.clip(scene * rng.uniform(0.7, 1.1) + rng.normal(0, 6, scene.shape), 0, 255) for _ in range(6)]
    assert _one_scene(np.stack(noisy).astype(np.uint8), np.arange(6))
    drawn = np.stack([texture(seed, 96, 1) for seed in range(6)])
    for image in drawn:
        cv2.circle(image, (48, 48), 30, 255, 6)
        cv2.circle(image, (48, 48), 14, 0, 5)
    assert not _one_scene(drawn, np.arange(6))


def test_several_masks_that_repeat_have_a_reason_that_a_person_knows() -> None:
    masks = np.zeros((30, 8, 8), np.uint8)
    for number in range(3):
        masks[number * 6 : number * 6 + 6, : number + 1] = 1
    data = dataset(masks)
    assert {action for _, action, _ in lines(data, MASKS, found(data, MASKS))} == {"drop?"}


def test_to_drop_more_than_a_tenth_is_a_question() -> None:
    masks = np.zeros((250, 8, 8), np.uint8)
    masks[:26, :4] = 1
    data = dataset(masks)
    listed = propose(data, MASKS, found(data, MASKS))
    assert set(listed["action"]) == {"drop?"} and len(listed) == 26
    assert too_many_to_drop(listed).startswith(
        "26 samples are not left out (repeated mask), as there may be a good reason"
    )
    data = dataset(masks[1:])
    assert set(propose(data, MASKS, found(data, MASKS))["action"]) == {"drop?"}
    data = dataset(masks[2:])  # 24 of 248
    listed = propose(data, MASKS, found(data, MASKS))
    assert set(listed["action"]) == {"drop"} and too_many_to_drop(listed) == ""


def test_to_drop_all_of_a_class_is_a_question() -> None:
    data = dataset(np.repeat([0, 1], [30, REPEATS + 1]))
    data.images[30:] = data.images[30]
    findings = found(data, LABELS)
    listed = propose(data, LABELS, findings)
    assert set(listed["action"]) == {"drop?", "group"} and too_many_to_drop(listed).startswith(
        f"{REPEATS + 1} samples"
    )
    data.targets[0] = 1
    assert set(propose(data, LABELS, findings)["action"]) == {"drop"}


def test_one_picture_is_lost_however_often_it_repeats() -> None:
    data = dataset(np.arange(100) % 2)
    data.images[:50] = data.images[0]
    listed = propose(data, LABELS, found(data, LABELS))
    assert set(listed["action"]) == {"drop"} and len(listed) == 50


def test_an_empty_picture_may_repeat_for_a_reason_and_is_no_sign_of_one_origin() -> None:
    data = dataset(np.arange(100) % 2)
    data.images[:10] = 0
    data.images[[20, 22]] = 255
    listed = propose(data, LABELS, found(data, LABELS))
    assert listed["index"].tolist() == list(range(100, 110)) and set(listed["action"]) == {"drop?"}
    assert len(set(groups_found(data, found(data, LABELS), np.zeros(100, bool)))) == 100


def test_of_a_picture_that_repeats_very_often_not_all_are_listed() -> None:
    data = dataset(np.repeat([0, 1], [30, 30]))
    data.images[30:] = data.images[30]
    listed = propose(data, LABELS, found(data, LABELS))
    assert (listed["action"] == "group").sum() == 30 and listed["reason"].str.len().max() < 100


def test_a_picture_in_very_many_groups_makes_no_single_one_of_them() -> None:
    rows = np.arange(60)
    data = dataset(np.where((rows >= 30) & (rows % 2 == 0), 1, 0))
    data.images[30::2] = data.images[30]
    single, pairs = (propose(replace(data, groups=rows // n), LABELS, found(data, LABELS)) for n in (1, 2))
    assert (single["action"] == "group").sum() == 15 and set(pairs["action"]) == {"drop?"}


def test_what_cannot_be_read_is_dropped_and_leaves_the_score() -> None:
    data = dataset(np.arange(30) % 2)
    listed = propose(data, LABELS, replace(found(data, LABELS), unreadable={3: "is cut short"}))
    assert listed[["index", "action", "reason"]].to_numpy().tolist() == [
        [103, "drop", "unreadable file: is cut short"]
    ]
    assert leaves_the_score("", listed["reason"][0])


def test_lines_have_the_names_of_samples_that_have_any() -> None:
    names = np.array([f"train/{row}.jpg" for row in range(10)])
    data = replace(dataset(np.arange(10) % 2), names=names)
    data.images[7] = data.images[1] = data.images[5]
    listed = propose(data, LABELS, found(data, LABELS))
    assert list(listed.columns) == ["index", "name", "action", "value", "reason", "confidence"]
    assert listed["name"].tolist() == ["train/1.jpg", "train/5.jpg", "train/7.jpg"]
    assert listed["value"].tolist() == ["101"] * 3
    assert set(listed["reason"]) == {"exact copy: train/1.jpg, train/5.jpg, train/7.jpg"}


def test_links_make_groups_in_chains_with_the_surest_reason() -> None:
    data = dataset(np.zeros((6, 8, 8), np.uint8))
    links: list[tuple[object, ...]] = [
        (1, 3, "copy", False, 9, 0.83, (1, 0, 0, 0, 1, 0)),
        (3, 4, "copy", True, 40, 0.97, (1, 0, 0, 0, 1, 0)),
        (4, 5, "right", False, 0, 0.6, ()),
    ]
    listed = propose(data, MASKS, found(data, MASKS, links)).set_index("index")
    assert set(listed["value"]) == {"101"} and listed.index.tolist() == [101, 103, 104, 105]
    assert listed.loc[103, "reason"] == "copy: of 104, 40 keypoints agree, similarity 0.97"
    assert listed.loc[105, "reason"] == "neighbouring tile: of 104"
    assert listed.loc[101, "confidence"] == pytest.approx(0.83)


def test_a_label_that_its_copies_contradict_is_doubted() -> None:
    data = dataset(np.array([0, 0, 1, 1, 0]))
    links: list[tuple[object, ...]] = [(0, 1, "copy", False, 30, 0.9, ()), (1, 2, "copy", False, 30, 0.9, ())]
    listed = lines(data, LABELS, found(data, LABELS, links))
    assert [102, "relabel?", "a"] in listed
    assert sum(action == "relabel?" for _, action, _ in listed) == 1


def test_of_copies_that_disagree_evenly_neither_is_right() -> None:
    data = dataset(np.array([0, 1, 1, 0, 0]))
    links: list[tuple[object, ...]] = [(0, 1, "copy", False, 30, 0.9, ())]
    listed = propose(data, LABELS, found(data, LABELS, links)).query("action != 'group'")
    assert listed[["index", "action", "value", "confidence"]].to_numpy().tolist() == [
        [100, "drop?", "", 0.5],
        [101, "drop?", "", 0.5],
    ]
    assert set(listed["reason"]) == {"doubtful label: 2 copies disagree (1 a, 1 b)"}
    assert not leaves_the_score("", listed["reason"].iloc[0])
    findings = found(data, LABELS, links)
    findings.label_errors.quality[1], findings.label_errors.issue[1] = 0.01, True
    judged = propose(data, LABELS, findings).query("action != 'group'")
    assert judged["action"].tolist() == ["drop?", "relabel?"], "what predictions say of one of them is said"


@pytest.mark.parametrize("kind", ["right", "bottom"])
def test_neighbouring_tiles_have_no_say_in_each_others_labels(kind: str) -> None:
    data = dataset(np.array([0, 0, 1, 1, 0]))
    links: list[tuple[object, ...]] = [(0, 1, kind, False, 0, 0.9, ()), (1, 2, kind, False, 0, 0.9, ())]
    assert {action for _, action, _ in lines(data, LABELS, found(data, LABELS, links))} == {"group"}
    copied = [*links, (2, 3, "copy", False, 30, 0.9, ()), (2, 4, "copy", False, 30, 0.9, ())]
    listed = lines(data, LABELS, found(data, LABELS, copied))
    assert [line for line in listed if line[1] != "group"] == [[104, "relabel?", "b"]], "not by what a chain links"


def test_sets_that_share_an_image_have_no_say_in_each_others_labels() -> None:
    data = dataset(np.array([0, 0, 1, 1]))
    links: list[tuple[object, ...]] = [(0, 1, "copy", False, 0, 1.0, ()), (1, 2, "copy", False, 0, 1.0, ())]
    findings = found(data, LABELS, links)
    sets = replace(findings, links=findings.links.assign(left_image=0, right_image=1))
    assert {action for _, action, _ in lines(data, LABELS, sets)} == {"group"}


def test_label_issues_and_outliers_are_only_suggested() -> None:
    data = dataset(np.array([0, 0, 1, 1, 0]))
    findings = found(data, LABELS)
    findings.label_errors.quality[3], findings.label_errors.issue[3] = 0.01, True
    findings.outlyingness[1] = 20
    assert lines(data, LABELS, findings) == [[101, "drop?", ""], [103, "relabel?", "a"]]
    assert was_suggested(propose(data, LABELS, findings)["reason"].iloc[1])


def test_nothing_found_is_an_empty_list() -> None:
    data = dataset(np.arange(6) % 2)
    assert propose(data, LABELS, found(data, LABELS)).empty
