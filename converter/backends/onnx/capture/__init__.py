"""From a model to a graph: torch.export, and the patches and rules that it needs."""
