"""Models of layers that no `Network` has, `pulsecast.model.layer_graph`: what is known, built in Keras, and written."""
