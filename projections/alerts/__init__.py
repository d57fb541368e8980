"""Alerts: a finding someone must see, from raised to resolved."""
