"""The laboratory: a load generator, the servers it measures, and what follows from the measurements."""
