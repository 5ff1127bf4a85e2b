"""Many series: plan, run, record."""
