"""From a trained model to a verified bundle: converters, gates, export."""
