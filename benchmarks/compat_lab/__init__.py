"""
The experiment of `benchmarks/compat.py`: five versions, and rankers that stay on the first.

| module | what it answers |
|---|---|
| `plan` | which worlds, versions, sizes; what is recorded beside every figure |
| `worlds` | whose labels, which moments, who is new when the newer versions come |
| `texts` | the text vectors of each text version |
| `versions` | graph towers, alone and jointly trained, and their vectors beside every label |
| `rankers` | the five rankers, and what chance does to their AUC |
| `compared` | one version against v1: every way for its vectors to reach a frozen ranker |
| `dial` | what staying close costs the new model, by weight |
| `tell` | tables, claims, the picture |

Every row is a JSON file as soon as it is known, and every model and vector is kept: killed and
called again, the experiment goes on.
"""
