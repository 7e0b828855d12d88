"""The settings of the examples of gato-hep, for itself and for a training of ours like it."""

EPOCHS = 250
OPTIMIZER = "rmsprop"
# From the first to the last epoch, along a cosine.
LEARNING_RATE, TEMPERATURE = (0.05, 0.001), (1.0, 0.05)
