"""How `run` spends its budget: parts that could be trained, which is next, and what came of those that are done."""
