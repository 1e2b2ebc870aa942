"""What an answer of `pulsecast serve` costs, beside a server that computes nothing and beside three other servers."""
