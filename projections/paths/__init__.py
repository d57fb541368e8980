"""Paths: the steps of each application in order, packed small, for the graph of all of them."""
