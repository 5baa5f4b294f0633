"""The phases of an audit, by the names that people see, and what each takes beside the others."""

LOADING, EQUAL, COPIES, APPEARANCE = "loading", "equal pictures and masks", "copies", "appearance"
PROPERTIES, LABELS, SHIFT = "light, noise and colours", "label errors", "how test images differ"
RELATIVES, TABLES, PAGE = "relatives of test images", "tables", "the page"
COSTS = {LOADING: 15.0, EQUAL: 3.0, COPIES: 35.0, APPEARANCE: 7.0, PROPERTIES: 5.0, LABELS: 10.0, SHIFT: 5.0}
COSTS |= {RELATIVES: 15.0, TABLES: 1.0, PAGE: 5.0}

# of copies
DETECTED, VECTORS, COMPARED = (
    "finding keypoints",
    "comparing keypoints",
    "comparing pictures with those most like them",
)
EDGES = "comparing the edges of pictures"
COSTS_OF_COPIES = {DETECTED: 40.0, VECTORS: 15.0, COMPARED: 35.0, EDGES: 10.0}
