"""Trackers: TensorBoard, Weights & Biases and MLflow hear of every epoch and of the scores in the end."""
