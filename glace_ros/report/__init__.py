"""Pages about maps and runs: one file each, that asks the network for nothing."""
