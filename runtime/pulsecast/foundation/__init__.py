"""What everything else uses: strict JSON, frozen records, checked arguments, files that are whole or not there."""
