"""What a model is: what it takes and gives, its layers, its scaling, its weights, how good it was."""
