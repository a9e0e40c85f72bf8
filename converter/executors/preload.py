"""What the fork server loads once, so that no worker pays for it: half of a small model's time is imports.

torch.export and the exporter load 470 modules at the first graph they see, so one is captured here, the smallest there
is. OpenMP's threads do not survive a fork: hence one thread, so that none are made, until a worker sets its own number.
"""

import torch

import converter.backends.onnx.model_file
import converter.backends.onnx.session
import converter.validation  # noqa: F401 - imported to be loaded
from converter.backends.onnx.capture import quiet_exporter

torch.set_num_threads(1)

with quiet_exporter():
    torch.onnx.export(torch.nn.Identity().eval(), (torch.zeros(2),), dynamo=True, verbose=False)
