"""What a command shows and asks: results, progress, options that several commands share."""
