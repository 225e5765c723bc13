"""Pictures to learn from: the shipped photographs, arrays for training, the colour prior."""
