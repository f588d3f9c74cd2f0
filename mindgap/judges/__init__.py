"""Turn a response into behaviour and coherence scores."""
