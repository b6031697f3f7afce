"""What `tierwise webhooks` does: deliver changes to HTTP endpoints by the Standard Webhooks specification."""
