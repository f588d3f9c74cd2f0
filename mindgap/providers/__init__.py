"""Chat completions from models behind an API: clients, event loop, pace, and a budget of calls."""
