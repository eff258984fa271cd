"""`leakwatch test`: files of made-up counts and expected verdicts, played through the daemon's pipeline."""
