"""What tests of the C beside the full-integer TFLite file share."""
