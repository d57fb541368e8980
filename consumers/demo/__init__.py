"""The demo: a made-up story, told by signed webhooks, run through the real processes."""
