"""What tests share and is not a test: models, faults, servers, and what an engine needs to be there."""
