"""The layer below all others: errors, records, text, files and locks. It imports nothing else of the package."""
