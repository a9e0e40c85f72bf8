"""The accuracy drop of variants: measured on real text, by the model's task, and judged by tiers."""
