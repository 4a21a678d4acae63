"""What is learnt from a batch: a model, a loss, and how clips become rows."""
