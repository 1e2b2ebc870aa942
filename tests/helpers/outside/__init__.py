"""What tests start outside of their own process: servers, browsers, fresh environments, workers."""
