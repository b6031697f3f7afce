"""Messages of other formats, read as native events by a field map before they are decoded."""
