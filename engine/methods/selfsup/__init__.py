"""Self-supervised distillation."""
