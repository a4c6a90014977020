"""The model: reference form, deploy form, checkpoints and students."""
