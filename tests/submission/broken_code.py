"""Code that fails on the server, each with the sentence that says what to mend."""

import os
from dataclasses import replace

from tests.submission.attack import LABELS, LEFT, RULES, Attack, Files, model
from toolkit.rules import Rules

RUN: dict[str, tuple[Files, str]] = {
    "wrong class name": ({"model.py": "class Net:\n    pass"}, "model.py has no class Model; it has Net"),
    "no predict": (
        {"model.py": "class Model:\n    pass"},
        "fails in predict: AttributeError: 'Model' object has no attribute 'predict'",
    ),
    "Model wants arguments": (
        {"model.py": "class Model:\n    def __init__(self, path): pass"},
        r"fails in Model\(\): TypeError: .*missing 1 required positional argument: 'path'",
    ),
    "missing weights": (
        model(LABELS, made="open('weights.pt')"),
        r"fails in Model\(\): .*'weights.pt'; is the file in the zip",
    ),
    "a path of the training machine": (
        model(LABELS, before="open('/home/me/weights.pt')"),
        "fails when model.py is imported: .*'/home/me/weights.pt'; is the file in the zip",
    ),
    "a file of this machine": (
        model(LABELS, made=f"open({__file__!r})"),
        f"fails in Model.*the server has no such file: '{__file__}'; is the file in the zip, and named relative",
    ),
    "a folder of this machine": (
        model(f"import os\nos.listdir({os.path.dirname(__file__)!r})\n" + LABELS),
        f"fails in predict: .*the server has no such file: '{os.path.dirname(__file__)}'",
    ),
    "a file of this machine, by a detour": (
        model(LABELS, made=f"open('/proc/self/root{__file__}')"),
        "fails in Model.*the server has no such file",
    ),
    "one-hot output": (
        model("return np.eye(8, dtype=int)[np.zeros(len(X), int)]"),
        r"returned shape \(5, 8\), expected \(5,\); it has a column for each class, return the arg max",
    ),
    "a column too many": (
        model("return np.zeros((len(X), 1), int)"),
        r"returned shape \(5, 1\), expected \(5,\); return labels\[:, 0\]",
    ),
    "wrong length": (model("return np.zeros(len(X) - 1, int)"), r"returned shape \(4,\), expected \(5,\)"),
    "float labels": (model("return np.zeros(len(X))"), "returned labels of type float64, expected integers"),
    "a class too many": (model("return np.full(len(X), 8)"), "returned labels 8 to 8, expected 0 to 7"),
    "negative labels": (model("return np.full(len(X), -1)"), "returned labels -1 to -1, expected 0 to 7"),
    "a list": (model("return [0] * len(X)"), "predict returned list, expected a numpy array"),
    "prints only": (
        model("print(np.zeros(len(X), int))"),
        "predict returned NoneType, expected a numpy array; it printed 12 bytes, but labels must be returned",
    ),
    "objects": (model("return np.array([None] * len(X))"), "returned an array of object, expected integers"),
    "os._exit": (model("import os\nos._exit(0)"), "ended with exit status 0 in predict, before it returned labels"),
    "sys.exit": (model("import sys\nsys.exit('bye')"), "fails in predict: SystemExit: bye"),
    "a crash of native code": (model("import ctypes\nctypes.string_at(0)"), "ended by signal SIGSEGV in predict"),
    "an exception": (model("raise ValueError('first line\\nlast line')"), "fails in predict: ValueError: last line"),
    "network access": (
        model("import urllib.request\nurllib.request.urlopen('http://example.org/weights')"),
        r"asks for the network: getaddrinfo example.org \(in predict\); the server has none",
    ),
    "a socket": (
        model("import socket\nsocket.socket().connect(('192.0.2.1', 80))"),
        r"asks for the network: connect 192.0.2.1 \(in predict\); the server has none",
    ),
    "a name looked up": (
        model("import socket\nsocket.getaddrinfo('example.org', 80)"),
        r"asks for the network: getaddrinfo example.org",
    ),
    "writes outside its folder": (
        model(f"open({os.path.expanduser(LEFT)!r}, 'w')\n{LABELS}"),
        "writes to .*/.left-behind in predict; a server lets it write to its temporary folder alone",
    ),
    "writes into its own folder": (
        model("np.save('cache.npy', X)\n" + LABELS),
        "writes to cache.npy in predict|read-only on a server",
    ),
    "makes a folder": (
        model("import os\nos.mkdir('../cache')\n" + LABELS),
        "changes ../cache in predict; a server lets it write",
    ),
    "an import that the server may lack": (
        model(LABELS, before="import timm"),
        r"model.py line 2 imports timm, which the server may lack; allowed are numpy and the standard library "
        r"\(rule submission_packages: README.md, Rules\)",
    ),
    "an import in disguise": (
        model("__import__('pandas')\n" + LABELS),
        r"fails in predict: No module named 'pandas'; allowed are numpy.*\(rule submission_packages",
    ),
    "an environment variable": (
        model("import os\nos.environ['HOSTNAME_OF_MINE']\n" + LABELS),
        "fails in predict: KeyError: 'HOSTNAME_OF_MINE'",
    ),
    "null characters": (
        {"model.py": "class Model: pass\0"},
        "model.py is not Python: source code string cannot contain null bytes",
    ),
    "not Python": (
        {"model.py": "class Model:\nreturn 1"},
        "model.py line 2 is not Python: expected an indented block",
    ),
    "a flood of output": (model("while True: print('x' * 1000000)"), "prints or writes more than 1 MiB"),
}
LIMITED: dict[str, tuple[Files, Rules, str]] = {
    "endless loop": (
        model("while True: pass"),
        replace(RULES, submission_seconds=1.0, sources={"submission_seconds": "the page, Evaluation"}),
        r"takes longer than 1 s; is there an endless loop\? \(rule submission_seconds: the page, Evaluation\)",
    ),
    "memory hog": (
        model("held = [np.ones(1 << 20) for _ in range(500)]\n" + LABELS),
        replace(RULES, submission_memory=300_000_000),
        r"takes more than 0.30 GB of memory; predict in smaller batches \(rule submission_memory",
    ),
    "a child that takes the memory": (
        model(
            "import subprocess, sys, time\n"
            "subprocess.run([sys.executable, '-c', 'import time; x = bytearray(4 * 10**8); time.sleep(9)'])\n" + LABELS
        ),
        replace(RULES, submission_memory=300_000_000),
        "takes more than 0.30 GB of memory",
    ),
}
NOT_PYTHON = {
    "200,000 minus signs": "x = " + 200_000 * "-" + "1",
    "5,000 brackets": "x = " + 5000 * "(" + 5000 * ")",
    "a zero byte": "x = '\0'",
}
ATTACKS = {
    **{name: Attack(files, sentence) for name, (files, sentence) in RUN.items()},
    **{name: Attack(files, sentence, rules) for name, (files, rules, sentence) in LIMITED.items()},
    **{
        name: Attack({"model.py": text}, r"is not Python|fails when model\.py is imported")
        for name, text in NOT_PYTHON.items()
    },
}
