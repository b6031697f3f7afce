"""What `tierwise rekey` does: copy a topic into one that is keyed by user."""
