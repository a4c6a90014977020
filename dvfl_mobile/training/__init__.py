"""Training: a teacher on labels, a student by its teacher, and what any training here stands on."""
