"""Every number that the repository states, as rows in plain Python, and the command that makes what is missing.

- `rows`: a row is one run: how it is trained, how it is scored, at what length
- `faces`, `digits`, `adaptation`, `reports`, `claims`: the rows, by loops
- `reported`: what the five course reports state (reported.csv)
- `results`: what runs reached, read from run directories or from experiments/results/, summarised over seeds
- `runs`: the run directories in a folder, by problem
- `tables`: tables of results beside what was reported, their cells by `cells`
- `documents`: these tables in README.md and docs/
- `recipes`: the list of all systems, and printed networks
- `python -m experiments NAME` runs what has no score yet
"""
