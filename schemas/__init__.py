"""Words: what a touchpoint looks like. Imports nothing of ours."""
