"""Front ends that live inside other people's frameworks."""
