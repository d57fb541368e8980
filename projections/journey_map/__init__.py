"""The journey map: a row an application, where it stands and how it got there."""
