"""A double of torch-neuronx 2.13, the native backend of PyTorch: it goes by the same name and has no `trace`."""
