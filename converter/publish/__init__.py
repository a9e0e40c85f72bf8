"""Push artifacts to the Hub: `push` is the story of one push, `batch` of a manifest's, `permissions` checks them in advance."""
