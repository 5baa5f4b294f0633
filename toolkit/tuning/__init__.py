"""The study, its samplers, its trials, when to give one up."""
