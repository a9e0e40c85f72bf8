"""The number of torch's threads, before anything changes it."""

import torch

THREADS = torch.get_num_threads()
"""As many as torch would take, by the cores or by OMP_NUM_THREADS."""
