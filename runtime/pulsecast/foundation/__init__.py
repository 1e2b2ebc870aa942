"""What everything else stands on: strict JSON, frozen records, checked arguments, files that are whole or not there."""
