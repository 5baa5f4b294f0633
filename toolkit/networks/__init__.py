"""Networks, their weights, their speed here, what they predict, also through views."""
