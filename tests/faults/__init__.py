"""The fault campaign: real servers and workers, broken at random moments under load, held to the reference."""
