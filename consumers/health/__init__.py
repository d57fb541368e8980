"""Whether an installation is well: each check finds something and says what to do about it.

Read-only. A check that cannot be made because an earlier one failed is left out.
"""
