"""Imported first by the process that forks converters: it leaves out Keras, as they do when they are started anew."""

from pulsecast_export.converting.without_keras import leave_out_keras

leave_out_keras()
