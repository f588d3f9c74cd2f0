"""One study from its settings to its end: check, plan, run, measure, sum up."""
