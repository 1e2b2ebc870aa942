"""What an app does with a bundle: forecasts, streams, anomalies, and proof that they are right."""
