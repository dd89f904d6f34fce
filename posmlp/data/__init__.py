"""Data sets: where they come from, what they hold, which images a run sees. No torch here."""
