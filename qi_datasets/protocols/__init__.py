"""What is done with a network on a set, as published. Needs the extra `torch`."""
