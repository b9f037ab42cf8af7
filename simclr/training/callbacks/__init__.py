"""What happens beside training: timing, probing, progress."""
