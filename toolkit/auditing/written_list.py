"""The cleaning list as this program wrote it: whether a person changed it since, and whether its end is gone.

A person may take any line out, so a list that was cut off at a line's end looks like an edited one. What was written
is remembered beside the evidence.
"""

from pathlib import Path

import pandas as pd

from toolkit.data.cleaning import samples_and_actions
from toolkit.errors import UserError, listed
from toolkit.outcome import are
from toolkit.store import Workspace, hash_file, read_json, write_json, write_text

SHOWN = 5  # samples in one sentence


def write_list(workspace: Workspace, proposal: pd.DataFrame) -> str:
    """Write the list, unless a person changed the one that is there; what to tell the user."""
    text = proposal.to_csv(index=False)
    if workspace.cleaning.exists():
        ours = _made(workspace).exists() and read_json(_made(workspace), "hash")["hash"] == hash_file(
            workspace.cleaning
        )
        # a kill may have come between the list and the hash of it
        if not ours and workspace.cleaning.read_bytes() != text.encode():
            beside = workspace.cleaning.with_name("cleaning.new.csv")
            write_text(beside, text)
            return f"the one in place was edited and is kept; this one is in {beside.name}"
    write_text(workspace.cleaning, text)
    write_json(_made(workspace), {"hash": hash_file(workspace.cleaning), "lines": samples_and_actions(workspace)})
    return "lines ending in ? are suggestions, without effect until you accept them"


def forget_refused(workspace: Workspace, refused: pd.DataFrame) -> None:
    """Lines, with the columns of a cleaning list, that the program itself takes out are no lost end."""
    made = _made(workspace)
    known = read_json(made, "hash") if made.exists() else {}
    if "lines" in known:
        gone = {(str(index), action.removesuffix("?")) for index, action in refused[["index", "action"]].to_numpy()}
        write_json(made, known | {"lines": [line for line in known["lines"] if tuple(line) not in gone]})


def lost_end(workspace: Workspace) -> str:
    """What to tell the user of a list that has the first of the lines that were written, in their order, and no more;
    nothing of any other.
    """
    made = _made(workspace)
    written = read_json(made, "hash").get("lines", []) if made.exists() else []
    try:
        found = samples_and_actions(workspace)
    except UserError:
        return ""
    if len(found) >= len(written) or found != written[: len(found)]:
        return ""
    lost = written[len(found) :]
    lines = listed([f"row {index}: {action}" for index, action in lost], most=SHOWN)
    return (
        f"{workspace.cleaning} ends early: {are(len(lost), 'line')} missing at its end, of {len(written):,} that were "
        f"written there ({lines}), and so not obeyed. If you took that out yourself, all is well; if the file was cut "
        "off, remove it and run `compete audit`, which writes it whole"
    )


def _made(workspace: Workspace) -> Path:
    return workspace.evidence / "cleaning.json"
