"""`python -m mindgap.judge`: recorded responses of a finished sweep before other judges."""
