"""Every model type that transformers knows, made tiny, so that its conversion can be tried."""
