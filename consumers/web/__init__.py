"""Pages about the inside, for the people who look after an installation."""
