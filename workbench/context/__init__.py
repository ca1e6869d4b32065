"""Context length: questions hidden in long texts, and how well they are answered."""
