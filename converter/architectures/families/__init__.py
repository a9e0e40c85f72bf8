"""One file for each family of models, named by its model type, with an `ARCHITECTURE`; files without one help others."""
