"""From a corpus to a described sparse autoencoder: activations, fit, quality, features, card."""
