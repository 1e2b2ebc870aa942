"""Commands that make and judge models: train, evaluate, export, and the whole job."""
