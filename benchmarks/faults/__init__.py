"""What happens where things go wrong, tried on a small competition: kills, damage, bad words, attacks, full disks."""
