"""Training on labels, distillation from a teacher, and the optimization that QAT shares with them."""
