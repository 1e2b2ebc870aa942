"""From an engagement log to a trained model: reading, recipes, fitting."""
