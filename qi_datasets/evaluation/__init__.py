"""What a model is worth: a network's answers on a set become an entry that anybody can check."""
