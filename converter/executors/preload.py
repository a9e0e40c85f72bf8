"""What the fork server imports once, so that no worker pays for it: imported for its imports alone."""

import converter.backends.onnx.capture
import converter.backends.onnx.model_file
import converter.backends.onnx.session
import converter.checkpoints.loading
import converter.validation  # noqa: F401
