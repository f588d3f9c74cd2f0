"""mindgap: what does a steered behaviour cost in coherence and capability?"""

__version__ = "0.1.0"
