"""Commands that make and judge models: train, evaluate, export, and all of it as a demo."""
