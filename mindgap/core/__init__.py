"""What everything else is made of: records, keys, edits, estimates, and YAML turned into checked objects."""
