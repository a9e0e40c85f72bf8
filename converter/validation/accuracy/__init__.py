"""What a variant loses: measured on real text, by what its model is for, and judged by tiers."""
