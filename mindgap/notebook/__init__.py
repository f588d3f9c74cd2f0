"""What a notebook is handed of a finished sweep: tables, comparisons, figures."""
