"""History in: logs that analysts already have, read as rows, translated by a map, recorded.

`log_file.py` says what a readable log is and `formats.py` opens one; `log_map.py` is the map file,
`translate.py` makes statements of rows, `history.py` records them.
"""
