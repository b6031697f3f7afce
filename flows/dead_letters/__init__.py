"""What `tierwise dead-letters` does: list, show and replay what the worker set aside."""
