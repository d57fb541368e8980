"""What may not follow what: rules as data, incremental monitors, findings with their evidence."""
