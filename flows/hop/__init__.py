"""From one topic to another: read, make something of it, write, in transactions that hold the offsets too."""
