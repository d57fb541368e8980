"""Facts: the immutable log, who a touchpoint belongs to, what is sealed. Imports schemas."""
