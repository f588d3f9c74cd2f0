"""Looking at the features of a model's SAE: `python -m mindgap.features`."""
